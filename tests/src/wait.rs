//! Waits for conditions.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Timeout of anything that happens on one machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Poll interval.
const POLL: Duration = Duration::from_millis(5);

/// Waits at most `patience` until `condition` returns a value. `what` names it in the error.
pub fn within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {patience:?} in vain for {what}");
        }
        thread::sleep(POLL);
    }
}

/// Like [`within`], with a timeout of [`PATIENCE`].
pub fn until<T>(what: &str, condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_the_condition_holds() {
        let mut looks = 0;
        let value = until("three looks", || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn gives_up_with_the_name_of_what_is_missing() {
        let error = within(Duration::ZERO, "the moon", || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().contains("the moon"));
    }

    #[test]
    fn a_failed_look_ends_the_wait() {
        assert!(until("nothing", || -> Result<Option<()>> { bail!("broken") }).is_err());
    }
}
