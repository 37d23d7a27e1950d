//! Embeds the shipped eBPF object in the binary: its path is `env!("TOA_INGRESS_OBJECT")`. How it is compiled is in
//! `xtask/src/toolchain.rs`.

use xtask::embed::{Package, embed};

fn main() {
    embed(&[Package {
        name: "toa-ebpf",
        directory: "toa-ebpf",
        objects: &[("toa-ingress", "TOA_INGRESS_OBJECT")],
    }]);
}
