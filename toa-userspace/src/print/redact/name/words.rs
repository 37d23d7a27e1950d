//! The words that make a name secret or harmless. Letters are in lower case, without separators.

/// Returns the parts, by their first letter, that make every name secret that contains them.
pub(super) const fn secret_parts(first: u8) -> &'static [&'static [u8]] {
    match first {
        b'a' => &[
            b"accesskey",
            b"apikey",
            b"appkey",
            b"assertion",
            b"authkey",
            b"authorisation",
            b"authorization",
        ],
        b'b' => &[b"bearer"],
        b'c' => &[b"contrasena", b"credential", b"creds", b"csrf"],
        b'd' => &[b"dpop"],
        b'e' => &[b"encryptionkey"],
        b'f' => &[b"functionskey"],
        b'h' => &[b"hmac"],
        b'j' => &[b"jwt"],
        b'k' => &[b"kennwort"],
        b'm' => &[b"macaroon", b"magiclink", b"masterkey", b"motdepasse"],
        b'p' => &[b"passcode", b"passphrase", b"passwd", b"password", b"passwort", b"privatekey"],
        b's' => &[
            b"samlresponse",
            b"secret",
            b"sessid",
            b"sessionid",
            b"sharedkey",
            b"signature",
            b"signingkey",
            b"subscriptionkey",
        ],
        b't' => &[b"token"],
        b'u' => &[b"usersig"],
        b'w' => &[b"wsse"],
        b'x' => &[b"xsrf"],
        _ => &[],
    }
}

/// Words that make a name secret, except with one of [`HARMLESS_ENDS`].
pub(super) const SECRET_WORDS: [&[u8]; 17] = [
    b"cred", b"crumb", b"cvc", b"cvv", b"hotp", b"key", b"mfa", b"otp", b"pass", b"pin", b"psw", b"pswd",
    b"pw", b"pwd", b"sess", b"sig", b"totp",
];

/// Ends that make a name secret, even without a capital or another character before them: `userpwd`, `appkey`.
pub(super) const SECRET_ENDS: [&[u8]; 6] = [b"key", b"otp", b"pass", b"psw", b"pswd", b"pwd"];

/// What makes such an end a part of another word: `monkey`, `bypass`.
pub(super) const OTHER_WORDS: [&[u8]; 13] = [
    b"bypass",
    b"compass",
    b"donkey",
    b"hockey",
    b"hotkey",
    b"jockey",
    b"monkey",
    b"overpass",
    b"surpass",
    b"trespass",
    b"turkey",
    b"underpass",
    b"whiskey",
];

/// Words before `key` that make it harmless: `Sec-WebSocket-Key` is no secret.
pub(super) const HARMLESS_KEYS: [&[u8]; 15] = [
    b"cache",
    b"foreign",
    b"group",
    b"idempotency",
    b"object",
    b"order",
    b"partition",
    b"primary",
    b"public",
    b"routing",
    b"shard",
    b"socket",
    b"sort",
    b"surrogate",
    b"websocket",
];

/// Ends of names that say something about a secret or its owner: `key_id`, `session_timeout`, `X-Auth-User`.
pub(super) const HARMLESS_ENDS: [&[u8]; 27] = [
    b"algorithm",
    b"callback",
    b"count",
    b"email",
    b"enabled",
    b"expires",
    b"expiry",
    b"groups",
    b"keyid",
    b"length",
    b"method",
    b"mode",
    b"name",
    b"provider",
    b"realm",
    b"redirect",
    b"roles",
    b"status",
    b"through",
    b"timeout",
    b"timestamp",
    b"ttl",
    b"type",
    b"uri",
    b"url",
    b"user",
    b"version",
];

/// Fields that are secret and do not say so, without an `X-` before them. Kubernetes sends tokens as WebSocket protocols.
pub(super) const SECRET_FIELDS: [&[u8]; 10] = [
    b"access",
    b"amznoidcdata",
    b"honeycombteam",
    b"jscode",
    b"msclientprincipal",
    b"ovhconsumer",
    b"secwebsocketprotocol",
    b"sid",
    b"sk",
    b"tk",
];

/// Parameters that are secret under this name only: `code` is, `country_code` is not. `js_code` is that of `WeChat`, `pgt` and `tgt` are
/// tickets of CAS, and `ak` is a key of Baidu.
pub(super) const SECRET_PARAMETERS: [&[u8]; 15] = [
    b"ak",
    b"code",
    b"connectsid",
    b"hdnea",
    b"hdnts",
    b"jscode",
    b"pgt",
    b"samlart",
    b"sid",
    b"sk",
    b"tgt",
    b"tk",
    b"tkt",
    b"wpnonce",
    b"wresult",
];

/// Words with which the name of a path segment ends before a secret, if they are no parts of any secret name.
pub(super) const SECRET_SEGMENTS: [&[u8]; 23] = [
    b"activate",
    b"activation",
    b"confirm",
    b"confirmation",
    b"hook",
    b"hooks",
    b"invitation",
    b"invite",
    b"invites",
    b"key",
    b"license",
    b"magic",
    b"recovery",
    b"reset",
    b"sess",
    b"session",
    b"sessions",
    b"sid",
    b"unsubscribe",
    b"verification",
    b"verify",
    b"webhook",
    b"webhooks",
];

/// Codes that are secret, like the word `sign`, in any field or parameter whose name ends with them.
pub(super) const SECRET_CODES: [&[u8]; 16] = [
    b"accesscode",
    b"activationcode",
    b"backupcode",
    b"codeverifier",
    b"confirmationcode",
    b"devicecode",
    b"logincode",
    b"onetimecode",
    b"recoverycode",
    b"resetcode",
    b"securitycode",
    b"smscode",
    b"usercode",
    b"vcode",
    b"verificationcode",
    b"verifycode",
];
