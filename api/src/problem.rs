//! Problems: how a failed request looks on the wire (RFC 9457).
//!
//! [`crate::error::Error`] is what the platform says; [`Problem`] is what the public reads. The way from one to the other is
//! the only place where a status meets a body. A defect ([`Code::Internal`]) loses its detail on the way: it may name paths,
//! keys or other tenants, and belongs into the log, next to the request id that the reply carries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, FieldError, Outcome};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A failed request as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:cloudnest:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// Stable, in snake case.
    pub code: String,
    /// Whether the request may have had an effect.
    pub outcome: Outcome,
    /// The wrong places of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// For `wrong_region`: the tenant's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// For `wrong_region`: the base URL of that region's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When it is worth trying again; on the wire the header `Retry-After`, in seconds.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// The header `X-Request-Id` of the reply.
    #[serde(skip)]
    pub request_id: Option<String>,
}

impl Problem {
    /// What the public may read of an error.
    pub fn of(error: &Error) -> Self {
        let detail = match error.code {
            Code::Internal => "the server met a defect; its log has the details under this request's id",
            _ => error.detail.as_str(),
        };
        let (region, endpoint) = match &error.elsewhere {
            Some(elsewhere) => (Some(elsewhere.region.clone()), Some(elsewhere.endpoint.clone())),
            None => (None, None),
        };
        Self {
            kind: format!("urn:cloudnest:problem:{}", error.code.name()),
            title: error.code.title().to_owned(),
            status: error.code.status(),
            detail: detail.to_owned(),
            code: error.code.name().to_owned(),
            outcome: error.outcome,
            errors: error.errors.clone(),
            region,
            endpoint,
            retry_after: error.retry_after,
            request_id: None,
        }
    }

    /// The body on the wire.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of texts and numbers cannot fail to serialise; an empty body would still carry the right status.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_keeps_its_detail_inside() {
        let problem = Problem::of(&Error::new(Code::Internal, "cannot open /var/lib/cell-3/store: tenant other").unknown());
        assert!(!problem.detail.contains("store"), "{}", problem.detail);
        assert_eq!((problem.status, problem.outcome), (500, Outcome::Unknown));
    }

    #[test]
    fn a_problem_reads_back_as_it_was_written() {
        let mut error = Error::fields(vec![FieldError {
            pointer: "/fields/title".into(),
            message: "is required".into(),
        }]);
        error.elsewhere = Some(crate::error::Elsewhere {
            region: "eu-west-1".into(),
            endpoint: "http://eu".into(),
        });
        let problem = Problem::of(&error);
        let back: Problem = serde_json::from_slice(&problem.to_json()).expect("a problem");
        assert_eq!(back, problem);
        assert_eq!(back.code, "invalid_fields");
    }
}
