//! The user-space half of toa-tc.
