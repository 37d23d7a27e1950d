//! The kernel's own description of its types (BTF), from which the places of fields are read.
//!
//! The format is in `Documentation/bpf/btf.rst` of the kernel. Integers are in host byte order.

use std::collections::HashMap;

use thiserror::Error;

/// Where the kernel publishes it (`CONFIG_DEBUG_INFO_BTF`).
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
/// Bytes of `struct btf_type`, which begins each type.
const TYPE_BYTES: usize = 12;
/// Bytes of `struct btf_member`.
const MEMBER_BYTES: usize = 12;

/// Most anonymous structs within each other, and most names and qualifiers of a type. The kernel has fewer.
const MAX_DEPTH: u32 = 16;

/// Kinds of types (`BTF_KIND_*` of `linux/btf.h`).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Why a field was not found.
#[derive(Debug, Eq, Error, PartialEq)]
pub enum BtfError {
    /// The description is not as specified.
    #[error("malformed BTF")]
    Malformed,
    /// A struct or field is not in this kernel.
    #[error("the kernel's BTF has no {0}")]
    Missing(String),
}

/// The place of a field in a struct.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Distance from the start of the struct, in bits.
    pub bits: u32,
}

impl Place {
    /// Returns the offset in bytes.
    pub fn byte(self) -> u32 {
        self.bits / 8
    }

    /// Returns the bit of a bit field of one bit in its byte.
    pub fn mask(self) -> u32 {
        // On big-endian machines, bit fields begin at the highest bit.
        let bit = self.bits % 8;
        1 << if cfg!(target_endian = "little") { bit } else { 7 - bit }
    }
}

/// A type, as far as fields are concerned.
#[derive(Clone, Copy)]
struct Type<'a> {
    kind: u32,
    /// Whether members have their size in the upper byte of their offset.
    has_bit_fields: bool,
    /// The type that it refers to, or its size.
    referred: u32,
    members: &'a [u8],
}

/// The structs of a kernel.
pub struct Structs<'a> {
    types: Vec<Type<'a>>,
    strings: &'a [u8],
    by_name: HashMap<&'a [u8], usize>,
}

impl<'a> Structs<'a> {
    /// Reads the types, without those of modules.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        Self::read(bytes).ok_or(BtfError::Malformed)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(*bytes.first_chunk()?);
        let header = word(bytes, 4)? as usize;
        let section = |offset, length| {
            let start = header.checked_add(word(bytes, offset)? as usize)?;
            bytes.get(start..start.checked_add(word(bytes, length)? as usize)?)
        };
        let (mut rest, strings) = (section(8, 12)?, section(16, 20)?);
        if magic != MAGIC {
            return None;
        }
        // Type 0 is `void`.
        let void = Type { kind: 0, has_bit_fields: false, referred: 0, members: &[] };
        let (mut types, mut by_name) = (vec![void], HashMap::new());
        while !rest.is_empty() {
            let (name, info, referred) = (word(rest, 0)?, word(rest, 4)?, word(rest, 8)?);
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let following = match kind {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION => count * MEMBER_BYTES,
                kind::ENUM | kind::FUNC_PROTO => count * 8,
                kind::DATASEC | kind::ENUM64 => count * 12,
                _ => 0,
            };
            let end = TYPE_BYTES + following;
            if kind == kind::STRUCT {
                by_name.entry(string(strings, name)?).or_insert(types.len());
            }
            let is_compound = matches!(kind, kind::STRUCT | kind::UNION);
            let members = rest.get(TYPE_BYTES..end)?;
            let members = if is_compound { members } else { &[] };
            types.push(Type { kind, has_bit_fields: info >> 31 == 1, referred, members });
            rest = rest.get(end..)?;
        }
        Some(Self { types, strings, by_name })
    }

    /// Returns the place of a field, which is named by its path from a struct: `tcp_sock.rx_opt.saw_unknown`.
    pub fn place(&self, path: &str) -> Result<Place, BtfError> {
        let missing = || BtfError::Missing(path.to_owned());
        let mut names = path.split('.');
        let mut of = names.next().and_then(|name| self.by_name.get(name.as_bytes())).copied();
        let mut bits = 0_u32;
        for name in names {
            let (offset, field) =
                self.member(of.ok_or_else(missing)?, name, MAX_DEPTH).ok_or_else(missing)?;
            bits = bits.checked_add(offset).ok_or(BtfError::Malformed)?;
            of = Some(field);
        }
        Ok(Place { bits })
    }

    /// Returns a member's offset in bits and its type. Members of anonymous structs and unions count as members.
    fn member(&self, of: usize, name: &str, depth: u32) -> Option<(u32, usize)> {
        let depth = depth.checked_sub(1)?;
        let of = self.types.get(self.resolved(of)?)?;
        for member in of.members.chunks_exact(MEMBER_BYTES) {
            let (found, field, offset) = (word(member, 0)?, word(member, 4)? as usize, word(member, 8)?);
            let offset = if of.has_bit_fields { offset & 0x00ff_ffff } else { offset };
            let found = string(self.strings, found)?;
            if found == name.as_bytes() {
                return Some((offset, field));
            }
            if found.is_empty()
                && let Some((inner, field)) = self.member(field, name, depth)
            {
                return Some((offset.checked_add(inner)?, field));
            }
        }
        None
    }

    /// Returns the type without names and qualifiers.
    fn resolved(&self, mut of: usize) -> Option<usize> {
        for _ in 0..MAX_DEPTH {
            let found = self.types.get(of)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    of = found.referred as usize;
                }
                _ => return Some(of),
            }
        }
        None
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Returns the string at an offset of the string section, without the zero at its end.
fn string(strings: &[u8], offset: u32) -> Option<&[u8]> {
    strings.get(offset as usize..)?.split(|byte| *byte == 0).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a description from `struct btf_type` with what follows each, and a string section.
    fn btf(types: &[&[u32]], strings: &str) -> Vec<u8> {
        let types: Vec<u8> = types.iter().copied().flatten().flat_map(|word| word.to_ne_bytes()).collect();
        let header =
            [24, 0, types.len(), types.len(), strings.len()].map(|word| u32::try_from(word).unwrap());
        let mut bytes = [MAGIC.to_ne_bytes(), [1, 0]].concat();
        bytes.extend(header.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(types);
        bytes.extend(strings.bytes());
        bytes
    }

    fn info(kind: u32, members: u32) -> u32 {
        kind << 24 | members
    }

    const STRINGS: &str = "\0int\0sock\0state\0options\0unknown\0alias\0";
    /// Positions of the names in [`STRINGS`].
    const INT: u32 = 1;
    const SOCK: u32 = 5;
    const STATE: u32 = 10;
    const OPTIONS: u32 = 16;
    const UNKNOWN: u32 = 24;
    const ALIAS: u32 = 32;

    fn example() -> Vec<u8> {
        let bit_fields = 1 << 31;
        btf(
            &[
                // 1: int
                &[INT, info(kind::INT, 0), 4, 32],
                // 2: struct options { int; int unknown : 1, after a bit }
                &[
                    OPTIONS,
                    info(kind::STRUCT, 2) | bit_fields,
                    8,
                    INT,
                    1,
                    32 << 24,
                    UNKNOWN,
                    1,
                    (1 << 24) + 33,
                ],
                // 3: typedef of 2, 4: const 3
                &[ALIAS, info(kind::TYPEDEF, 0), 2],
                &[0, info(kind::CONST, 0), 3],
                // 5: anonymous union { int state; }
                &[0, info(kind::UNION, 1), 4, STATE, 1, 0],
                // 6: struct sock { union; const alias options; }
                &[SOCK, info(kind::STRUCT, 2), 16, 0, 5, 32, OPTIONS, 4, 64],
            ],
            STRINGS,
        )
    }

    #[test]
    fn fields_are_found_by_their_path() {
        let bytes = example();
        let structs = Structs::parse(&bytes).unwrap();
        assert_eq!(structs.place("sock.state").unwrap().byte(), 4);
        let unknown = structs.place("sock.options.unknown").unwrap();
        assert_eq!((unknown.bits, unknown.byte()), (64 + 33, 12));
        assert_eq!(unknown.mask(), if cfg!(target_endian = "little") { 2 } else { 0x40 });
        for path in ["none.state", "sock.none", "sock.state.none", "alias.unknown"] {
            assert_eq!(structs.place(path), Err(BtfError::Missing(path.to_owned())));
        }
    }

    #[test]
    fn malformed_descriptions_are_refused() {
        let bytes = example();
        for length in 0..bytes.len() - STRINGS.len() {
            assert!(Structs::parse(&bytes[..length]).is_err(), "{length}");
        }
        // A struct that contains itself, and a name for itself.
        let circles = btf(
            &[&[SOCK, info(kind::STRUCT, 2), 4, 0, 1, 0, STATE, 2, 0], &[ALIAS, info(kind::TYPEDEF, 0), 2]],
            STRINGS,
        );
        let structs = Structs::parse(&circles).unwrap();
        assert!(structs.place("sock.none").is_err());
        assert!(structs.place("sock.state.none").is_err());
    }
}
