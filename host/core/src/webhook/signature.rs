//! Signatures after the Standard Webhooks specification 1.0: HMAC-SHA256 over `id.timestamp.body` with a shared secret, so
//! that its verifiers in any language take what is sent.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::invalid;
use crate::error::Result;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key that a secret stands for.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// `WebhookInvalid`, without the text.
    pub fn read(secret: &str) -> Result<Self> {
        let key = secret.trim().strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        match key.filter(|key| BYTES.contains(&key.len())) {
            Some(key) => Ok(Self(key)),
            None => Err(invalid(
                "secret",
                "it must be `whsec_` and 24 to 64 random bytes in base64, or `env:NAME` or `file:NAME` where the host finds \
                 that; leave it out to have one made",
            )),
        }
    }

    /// A new secret out of random bytes.
    pub fn secret_of(random: &[u8; 32]) -> String {
        format!("{PREFIX}{}", STANDARD.encode(random))
    }

    /// The value of the header `webhook-signature`; the time is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // Every length of key is one for HMAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let key = SigningKey::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_long_enough_and_made_so() {
        assert!(SigningKey::read(&SigningKey::secret_of(&[7; 32])).is_ok());
        for wrong in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64!"] {
            let error = SigningKey::read(wrong).unwrap_err();
            assert_eq!(error.data["field"], "secret");
        }
    }
}
