//! Responsible for embedding the shipped eBPF object: its path is `env!("TOA_INGRESS_OBJECT")`.
//! Not responsible for how it is compiled: see `xtask/src/toolchain.rs`.

#[path = "../xtask/src/embed.rs"]
mod embed;
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() {
    embed::embed(&[embed::Package {
        name: "toa-ebpf",
        directory: "toa-ebpf",
        objects: &[("toa-ingress", "TOA_INGRESS_OBJECT")],
    }]);
}
