//! The TC ingress programs of toa-tc.
#![no_std]
