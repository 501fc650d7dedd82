//! Secrets: `PREFIX` + 27 base62 characters (160 random bits) + 6 of their CRC-32C, so that a scanner can tell a real one
//! from a typo without asking. Their hash is BLAKE3: 160 random bits need no slow hash.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters for 160 bits: 62^27 is more than 2^160.
const BODY_CHARS: usize = 27;
/// Characters for 32 bits: 62^6 is more than 2^32.
const CHECK_CHARS: usize = 6;
/// What a tenant's secrets start with.
pub(crate) const TENANT: &str = "cnt_";
/// What an operator's secrets start with.
pub(crate) const OPERATOR: &str = "cno_";

/// A new secret. Only above the log.
pub(crate) fn generate(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bits = [0u8; 20];
    getrandom::fill(&mut bits)?;
    let mut text = String::with_capacity(prefix.len() + BODY_CHARS + CHECK_CHARS);
    text.push_str(prefix);
    let mut number = bits;
    for _ in 0..BODY_CHARS {
        text.push(char::from(ALPHABET[usize::from(divide(&mut number))]));
    }
    let check = check(&text);
    text.push_str(&check);
    Ok(text)
}

/// Whether a text has the form of a secret, its check included: anything else was never one.
pub(crate) fn is_well_formed(text: &str, prefix: &str) -> bool {
    let right = text.is_ascii() && text.len() == prefix.len() + BODY_CHARS + CHECK_CHARS && text.starts_with(prefix);
    right
        && text
            .split_at_checked(text.len() - CHECK_CHARS)
            .is_some_and(|(body, end)| check(body) == end)
}

/// The characters that check the others.
fn check(text: &str) -> String {
    let mut rest = crc32c::crc32c(text.as_bytes());
    let next = |_| {
        let character = char::from(ALPHABET[(rest % 62) as usize]);
        rest /= 62;
        character
    };
    (0..CHECK_CHARS).map(next).collect()
}

/// Divides a big-endian number by 62; returns the remainder.
fn divide(number: &mut [u8; 20]) -> u8 {
    let mut rest = 0u16;
    for byte in number.iter_mut() {
        let value = rest * 256 + u16::from(*byte);
        *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
        rest = value % 62;
    }
    u8::try_from(rest).unwrap_or(0)
}

/// What is stored of a secret.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_have_their_form() {
        let one = generate(TENANT).expect("randomness");
        let other = generate(TENANT).expect("randomness");
        assert_ne!(one, other);
        assert_eq!(one.len(), TENANT.len() + BODY_CHARS + CHECK_CHARS);
        assert!(
            one.strip_prefix(TENANT)
                .expect("prefix")
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric())
        );
        assert_ne!(hash(&one), hash(&other));
        assert!(is_well_formed(&one, TENANT) && !is_well_formed(&one, OPERATOR));
        let typo = one.replace(|c: char| c == one.chars().nth(9).expect("a character"), "_");
        for wrong in ["", "cnt_", "nonsense", "cnt_é", typo.as_str()] {
            assert!(!is_well_formed(wrong, TENANT), "{wrong:?}");
        }
    }
}
