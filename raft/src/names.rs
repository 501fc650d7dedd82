//! The DNS names in certificates: of a node, and of its region.

use crate::{Error, NodeId};

/// Whose a certificate is, as its DNS names say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: NodeId,
    /// The node's region; none: the certificate was made before regions were part of it, and is refused.
    pub region: Option<String>,
}

impl Bearer {
    /// The bearer of a certificate with these DNS names; none: it is not that of a node.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str> + Clone) -> Option<Bearer> {
        let labels = |name: &'n str| Some(name.strip_suffix(".cloudnest")?.split('.').collect::<Vec<_>>());
        let (node, cluster) = names.clone().into_iter().find_map(|name| match labels(name)?.as_slice() {
            [node, cluster] => Some((node.strip_prefix("node-")?.parse().ok()?, *cluster)),
            _ => None,
        })?;
        let region = names.into_iter().find_map(|name| match labels(name)?.as_slice() {
            [region, "region", other] if *other == cluster => Some((*region).to_owned()),
            _ => None,
        });
        Some(Bearer {
            cluster: cluster.to_owned(),
            node: NodeId(node),
            region,
        })
    }
}

pub(crate) fn bad(error: impl std::fmt::Display) -> Error {
    Error::Certificate(error.to_string())
}

/// The names of clusters and regions are DNS labels, because they are parts of such names.
pub(crate) fn check_label(what: &str, name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok = (1..=48).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-') && !name.ends_with('-');
    if ok {
        Ok(())
    } else {
        Err(Error::Config(format!(
            "{what} name {name:?} is not 1-48 of a-z, 0-9 and inner hyphens"
        )))
    }
}

pub(crate) fn node_name(cluster: &str, node: NodeId) -> String {
    format!("node-{node}.{cluster}.cloudnest")
}

pub(crate) fn region_name(cluster: &str, region: &str) -> String {
    format!("{region}.region.{cluster}.cloudnest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_a_certificate_is() {
        let of = |names: &[&str]| Bearer::of(names.iter().copied());
        let bearer = |region: Option<&str>| {
            Some(Bearer {
                cluster: "c".to_owned(),
                node: NodeId(3),
                region: region.map(str::to_owned),
            })
        };
        assert_eq!(of(&["eu.region.c.cloudnest", "node-3.c.cloudnest"]), bearer(Some("eu")));
        assert_eq!(of(&["node-3.c.cloudnest", "eu.region.other.cloudnest"]), bearer(None));
        assert_eq!(of(&["node-x.c.cloudnest", "example.com", "eu.region.c.cloudnest"]), None);
    }
}
