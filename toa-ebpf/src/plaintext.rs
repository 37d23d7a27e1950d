//! What uprobes in a server's TLS library do: they learn the connection of each TLS object, and copy what is read from
//! those that are followed. `socket` finds a descriptor's connection, `emit` copies.
//!
//! A server may run other threads between the call of a function and its return, and kernels may preempt the program for
//! another thread's. So a call is kept by its thread, a buffer belongs to whoever takes it first, and counters are
//! incremented atomically.

mod calls;
mod emit;
mod maps;
mod registers;
mod socket;

use aya_ebpf::{EbpfContext, helpers::bpf_get_current_pid_tgid, programs::RawTracePointContext};
use toa_common::{
    flow_key::FlowKey,
    plaintext::{Call, Session, SessionKey, flags},
};

use crate::{flow_changes, maps::FLOWS};
use maps::SESSIONS;
use registers::Registers;

/// The result of a function that reads and returns whether it did.
const HAS_READ: u32 = 1;

/// Called at the entry of `SSL_set_fd(ssl, fd)` and its kin: the object has a new connection.
#[inline(always)]
pub fn bound(ctx: &impl EbpfContext) {
    let registers = Registers::of(ctx);
    let key = socket::connection(registers.argument::<1>() as u32).unwrap_or(FlowKey::NONE);
    let session = session(key, flags::START_KNOWN);
    // Fails if all entries are being used by other CPUs; the object is unknown then.
    let _ = SESSIONS.insert(session_key(registers.argument::<0>()), session, 0);
}

/// Called at the entry of `SSL_free(ssl)`.
#[inline(always)]
pub fn freed(ctx: &impl EbpfContext) {
    let key = session_key(Registers::of(ctx).argument::<0>());
    if let Some(session) = SESSIONS.get_ptr(key) {
        // SAFETY: the pointer is from the map. No other call is using the object.
        let session = unsafe { *session };
        if is_followed(&session.key) {
            emit::end(ctx, &session);
        }
        let _ = SESSIONS.remove(key);
    }
}

/// Called at the entry of `SSL_read(ssl, buf, num)`, or `SSL_read_ex(ssl, buf, num, readbytes)` if it `has_count`. That of a
/// connection that is not followed costs one lookup, and none when it returns.
#[inline(always)]
pub fn begins(ctx: &impl EbpfContext, has_count: bool) {
    let registers = Registers::of(ctx);
    let object = registers.argument::<0>();
    let is_unknown = match SESSIONS.get_ptr_mut(session_key(object)) {
        Some(session) => {
            // SAFETY: the pointer is from the map. No other call is using the object.
            let session = unsafe { &mut *session };
            if !is_followed_now(session) {
                // What it reads now is not copied. Should it be followed later, that is not its start.
                session.flags = 0;
                return;
            }
            false
        }
        None if maps::is_learning() => true,
        None => return,
    };
    let call = Call {
        object,
        buffer: registers.argument::<1>(),
        count: if has_count { registers.argument::<3>() } else { 0 },
        stack: registers.stack(),
        is_unknown: u64::from(is_unknown),
    };
    calls::begin(&call);
}

/// Called at the entry of every system call: one that reads, within a call whose object is not known, has the descriptor of
/// the object's connection.
#[inline(always)]
pub fn system_call(ctx: &RawTracePointContext) {
    if !registers::is_reading_call(ctx.arg::<u64>(1) as u32) {
        return;
    }
    let Some(call) = calls::find() else { return };
    // SAFETY: the pointer is from the map, and the entry is this thread's.
    let call = unsafe { &mut *call };
    if call.is_unknown == 0 {
        return;
    }
    let descriptor = Registers::at(ctx.arg::<u64>(0)).argument::<0>() as u32;
    if let Some(key) = socket::connection(descriptor)
        && SESSIONS.insert(session_key(call.object), session(key, 0), 0).is_ok()
    {
        call.is_unknown = 0;
    }
}

/// Called when a reading function returns.
#[inline(always)]
pub fn ends(ctx: &impl EbpfContext) {
    let Some(call) = calls::end() else { return };
    let registers = Registers::of(ctx);
    // The return of another call: that of this one was missed.
    if !registers.is_return_to(call.stack) {
        return;
    }
    let result = registers.result();
    let len = if call.count == 0 {
        i64::from(result as i32)
    } else if result as u32 == HAS_READ {
        registers::read_user(call.count).unwrap_or(0)
    } else {
        0
    };
    if len <= 0 {
        return;
    }
    if let Some(session) = SESSIONS.get_ptr_mut(session_key(call.object)) {
        // SAFETY: the pointer is from the map. No other call is using the object.
        let session = unsafe { &mut *session };
        emit::plaintext(ctx, session, call.buffer, len.cast_unsigned());
        session.offset = session.offset.wrapping_add(len.cast_unsigned());
    }
}

/// Returns the key of an object of this process.
#[inline(always)]
fn session_key(object: u64) -> SessionKey {
    SessionKey { object, process: (bpf_get_current_pid_tgid() >> 32) as u32, _unused: 0 }
}

/// Returns what is known of an object with a new connection.
#[inline(always)]
fn session(key: FlowKey, flags: u16) -> Session {
    let slot = flow_changes::slot(&key);
    // Another number than now, so that it is looked up.
    let unfollowed = flow_changes::count(slot).wrapping_sub(1);
    Session { key, flags: u32::from(flags), offset: 0, unfollowed, slot, _unused: 0 }
}

/// Returns whether the connection of an object is followed. Looks it up only if that may have changed.
#[inline(always)]
fn is_followed_now(session: &mut Session) -> bool {
    if flow_changes::count(session.slot) == session.unfollowed {
        return false;
    }
    let changes = flow_changes::count_before(session.slot);
    let key = session.key;
    let is_followed = is_followed(&key);
    if !is_followed {
        session.unfollowed = changes;
    }
    is_followed
}

#[inline(always)]
fn is_followed(key: &FlowKey) -> bool {
    FLOWS.get_ptr(key).is_some()
}
