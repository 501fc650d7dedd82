//! The operator's token, as far as the command line makes and knows one.

use anyhow::anyhow;

use super::{Failure, Result};
use crate::access::secret;

/// A new operator token.
pub(super) fn operator_token() -> Result<String> {
    let made = secret::generate(secret::OPERATOR);
    made.map_err(|error| Failure::Failed(anyhow!("read the system's source of randomness: {error}")))
}

/// Whether a text has the form of an operator's token.
pub(super) fn is_operator_token(text: &str) -> bool {
    text.strip_prefix(secret::OPERATOR)
        .is_some_and(|rest| rest.len() >= 32 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_form_and_differ() {
        let (one, two) = (operator_token().expect("a token"), operator_token().expect("a token"));
        assert!(is_operator_token(&one) && is_operator_token(&two));
        assert_ne!(one, two);
        assert!(!is_operator_token("cno_short") && !is_operator_token("cnt_0123456789012345678901234567890123456789"));
    }
}
