//! Ready eBPF objects, which need no compiler for BPF: checks that they are the ones that this version embeds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use object::{Object as _, ObjectSection as _, read::elf::ElfFile64};
use toa_common::{object::SECTION, run_info::FORMAT};

/// The variable that names the directory with the shipped objects.
pub const VARIABLE: &str = "TOA_BPF_OBJECTS";

/// The machine `EM_BPF` of an ELF file (`linux/elf-em.h`).
const EM_BPF: u16 = 247;

/// What a shipped object has beside the section of its programs.
const SECTIONS: [&str; 3] = [".BTF", "license", SECTION];

/// Returns the name of an object's file.
pub fn file_name(object: &str) -> String {
    format!("{object}.o")
}

/// Returns the path of an object in `directory`. The error is one line that says what is wrong with it.
pub fn find(directory: &Path, object: &str, programs: &str) -> Result<PathBuf, String> {
    let path = directory.join(file_name(object));
    let wrong = |why: &str| format!("{VARIABLE}: {}: {why}", path.display());
    let bytes = fs::read(&path).map_err(|error| wrong(&error.to_string()))?;
    check(&bytes, programs).map_err(|why| wrong(&why))?;
    Ok(path)
}

/// Checks an object whose programs are in the section `programs`.
fn check(bytes: &[u8], programs: &str) -> Result<(), String> {
    let file: ElfFile64<'_> =
        ElfFile64::parse(bytes).map_err(|error| format!("not a 64-bit ELF file ({error})"))?;
    let endian = file.endian();
    if !file.is_little_endian() || file.elf_header().e_machine.get(endian) != EM_BPF {
        return Err("not a little-endian eBPF object".to_owned());
    }
    if let Some(missing) =
        SECTIONS.into_iter().chain([programs]).find(|name| file.section_by_name(name).is_none())
    {
        return Err(format!("no section {missing}"));
    }
    let stamp = file.section_by_name(SECTION).and_then(|section| section.data().ok());
    match stamp.and_then(|it| it.try_into().ok()).map(u32::from_le_bytes) {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(format!("its format is {other}, this version of toa-tc needs {FORMAT}")),
        None => Err(format!("the section {SECTION} is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an ELF file of one kind of machine, with these sections.
    fn elf(machine: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut names = b"\0.shstrtab\0".to_vec();
        let (mut headers, mut data) = (vec![0u8; 64], Vec::new());
        let mut header = |name: u32, kind: u32, offset: usize, size: usize| {
            headers.extend([name, kind].into_iter().flat_map(u32::to_le_bytes));
            headers.extend([0, 0, offset as u64, size as u64].into_iter().flat_map(u64::to_le_bytes));
            headers.extend([0; 24]);
        };
        for (name, bytes) in sections {
            header(names.len() as u32, 1, 64 + data.len(), bytes.len());
            names.extend(name.bytes().chain([0]));
            data.extend_from_slice(bytes);
        }
        header(1, 3, 64 + data.len(), names.len());
        data.extend(&names);
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0".to_vec();
        file.extend(machine.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend([0, 0, 64 + data.len() as u64].into_iter().flat_map(u64::to_le_bytes));
        file.extend(0u32.to_le_bytes());
        let count = sections.len() as u16 + 2;
        file.extend([64, 0, 0, 64, count, count - 1].into_iter().flat_map(u16::to_le_bytes));
        [file, data, headers].concat()
    }

    /// Returns the sections of an object of this format.
    fn sections(stamp: &[u8]) -> [(&str, &[u8]); 4] {
        [(".BTF", b"x"), ("license", b"GPL\0"), (SECTION, stamp), ("classifier", b"x")]
    }

    #[test]
    fn a_shipped_object_is_accepted() {
        let bytes = elf(EM_BPF, &sections(&FORMAT.to_le_bytes()));
        assert_eq!(check(&bytes, "classifier"), Ok(()));
    }

    #[test]
    fn what_is_wrong_with_an_object_is_one_line() {
        let stamp = FORMAT.to_le_bytes();
        let right = sections(&stamp);
        let older = (FORMAT - 1).to_le_bytes();
        let newer = format!("its format is {}, this version of toa-tc needs {FORMAT}", FORMAT - 1);
        for (bytes, programs, why) in [
            (b"text".to_vec(), "classifier", "not a 64-bit ELF file"),
            (elf(62, &right), "classifier", "not a little-endian eBPF object"),
            (elf(EM_BPF, &right), "sockops", "no section sockops"),
            (elf(EM_BPF, &right[1..]), "classifier", "no section .BTF"),
            (elf(EM_BPF, &sections(&older)), "classifier", &newer),
            (elf(EM_BPF, &sections(b"1")), "classifier", "the section toa_format is damaged"),
        ] {
            let error = check(&bytes, programs).unwrap_err();
            assert!(error.starts_with(why) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_missing_object_is_named_with_the_variable() {
        let error = find(Path::new("/nonexistent"), "toa-ingress", "classifier").unwrap_err();
        assert!(error.starts_with("TOA_BPF_OBJECTS: /nonexistent/toa-ingress.o: "), "{error}");
    }
}
