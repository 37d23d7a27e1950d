//! Embeds the shipped eBPF objects in the binary: their paths are `env!("TOA_INGRESS_OBJECT")` and so on. How they are
//! compiled, or taken from the directory in `TOA_BPF_OBJECTS`, is in `xtask/embed`.

use toa_embed::embed::{SHIPPED, embed};

fn main() {
    embed(&[SHIPPED]);
}
