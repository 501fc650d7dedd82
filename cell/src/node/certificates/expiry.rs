//! When the end of a certificate is spoken of.

use std::fmt;

/// How long before its end it is, days. Raised: more that is not urgent. Lowered: less time to find who can renew it.
pub(crate) const NOTICE_DAYS: i64 = 14;
const DAY: i64 = 86_400;

/// What is to be said of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is not valid any more.
    Ended,
    /// It will not be soon.
    Soon {
        /// Whole days that are left.
        days: i64,
    },
}

/// What is to be said of one that is valid until then, at a moment, both in seconds since the epoch; none: nothing.
pub(crate) fn notice(expires_at: i64, now: i64) -> Option<Notice> {
    let left = expires_at.saturating_sub(now);
    if left <= 0 {
        return Some(Notice::Ended);
    }
    (left < NOTICE_DAYS * DAY).then_some(Notice::Soon { days: left / DAY })
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("is not valid any more"),
            Self::Soon { days: 0 } => f.write_str("ends within a day"),
            Self::Soon { days: 1 } => f.write_str("ends in 1 day"),
            Self::Soon { days } => write!(f, "ends in {days} days"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_spoken_of_from_fourteen_days_ahead() {
        let said = |left: i64| notice(1_000_000_000 + left, 1_000_000_000).map(|notice| notice.to_string());
        assert_eq!(said(14 * DAY), None);
        assert_eq!(said(14 * DAY - 1).as_deref(), Some("ends in 13 days"));
        assert_eq!(said(DAY).as_deref(), Some("ends in 1 day"));
        assert_eq!(said(1).as_deref(), Some("ends within a day"));
        assert_eq!(said(0).as_deref(), Some("is not valid any more"));
    }
}
