//! Shared by kernel and user space.
#![cfg_attr(not(test), no_std)]
