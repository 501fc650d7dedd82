//! Slots: what a name in an expression stands for. In the tree of a checked expression a slot is an identifier that no text can spell.

/// Whose a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The record as it is stored.
    Record,
    /// The record as it is to be.
    New,
}

/// Something that an expression can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A field by its number.
    Field(Of, u16),
    /// A record's id.
    Id(Of),
    /// The stored record's version.
    Version,
    /// When it was created.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// Who created it.
    CreatedBy,
    /// The principal that asks, as `created_by` shows it.
    AuthId,
    /// The name of its token.
    AuthName,
    /// Its role.
    AuthRole,
    /// The time, in microseconds since the epoch.
    Now,
    /// The day, in days since the epoch.
    Today,
}

/// What a slot's identifier begins with: no identifier of CEL does.
const MARK: char = '$';
/// And ends with, where long texts have no value.
const SHORT: char = '~';

impl Slot {
    /// The identifier. `short`: long texts have no value here.
    pub(super) fn identifier(self, short: bool) -> String {
        let name = match self {
            Slot::Field(Of::Record, number) => format!("{MARK}r{number}"),
            Slot::Field(Of::New, number) => format!("{MARK}n{number}"),
            Slot::Id(Of::Record) => format!("{MARK}i"),
            Slot::Id(Of::New) => format!("{MARK}j"),
            Slot::Version => format!("{MARK}v"),
            Slot::CreatedAt => format!("{MARK}c"),
            Slot::UpdatedAt => format!("{MARK}u"),
            Slot::CreatedBy => format!("{MARK}b"),
            Slot::AuthId => format!("{MARK}a"),
            Slot::AuthName => format!("{MARK}m"),
            Slot::AuthRole => format!("{MARK}o"),
            Slot::Now => format!("{MARK}w"),
            Slot::Today => format!("{MARK}d"),
        };
        if short { format!("{name}{SHORT}") } else { name }
    }

    /// The slot of an identifier, and whether long texts have no value.
    pub(super) fn parse(identifier: &str) -> Option<(Self, bool)> {
        let rest = identifier.strip_prefix(MARK)?;
        let (rest, short) = match rest.strip_suffix(SHORT) {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let slot = match rest.split_at_checked(1)? {
            ("r", number) => Slot::Field(Of::Record, number.parse().ok()?),
            ("n", number) => Slot::Field(Of::New, number.parse().ok()?),
            ("i", "") => Slot::Id(Of::Record),
            ("j", "") => Slot::Id(Of::New),
            ("v", "") => Slot::Version,
            ("c", "") => Slot::CreatedAt,
            ("u", "") => Slot::UpdatedAt,
            ("b", "") => Slot::CreatedBy,
            ("a", "") => Slot::AuthId,
            ("m", "") => Slot::AuthName,
            ("o", "") => Slot::AuthRole,
            ("w", "") => Slot::Now,
            ("d", "") => Slot::Today,
            _ => return None,
        };
        Some((slot, short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_comes_back_as_its_slot() {
        let mut slots = vec![
            Slot::Version,
            Slot::CreatedAt,
            Slot::UpdatedAt,
            Slot::CreatedBy,
            Slot::AuthId,
            Slot::AuthName,
            Slot::AuthRole,
            Slot::Now,
            Slot::Today,
        ];
        for of in [Of::Record, Of::New] {
            slots.extend([Slot::Field(of, 1), Slot::Field(of, u16::MAX), Slot::Id(of)]);
        }
        for slot in slots {
            for short in [false, true] {
                assert_eq!(Slot::parse(&slot.identifier(short)), Some((slot, short)));
            }
        }
        for other in ["", "$", "$r", "$x", "$ii", "title", "$r70000", "@result"] {
            assert_eq!(Slot::parse(other), None, "{other}");
        }
    }
}
