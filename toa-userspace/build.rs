//! Responsible for embedding the shipped eBPF object: its path is `env!("TOA_INGRESS_OBJECT")`.
//! Not responsible for how it is compiled: see `xtask/src/toolchain.rs`.

use xtask::embed::{Package, embed};

fn main() {
    embed(&[Package {
        name: "toa-ebpf",
        directory: "toa-ebpf",
        objects: &[("toa-ingress", "TOA_INGRESS_OBJECT")],
    }]);
}
