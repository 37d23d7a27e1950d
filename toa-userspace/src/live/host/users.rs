//! Names of users.

/// Returns the name of a user, if it has one.
pub fn user_name(id: u32) -> Option<String> {
    uzers::get_user_by_uid(id).and_then(|user| user.name().to_str().map(str::to_owned))
}
