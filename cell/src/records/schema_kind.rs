//! The stored type of a field, from what a user says of it.

use api::body::collection::{Field, FieldType};

use super::schema::{Collection, Deletion, Kind};
use crate::machine::catalog::Catalog;

/// The stored type of a field.
pub(super) fn kind(collection: &Collection, field: &Field, catalog: &Catalog) -> Result<Kind, (&'static str, String)> {
    Ok(match field.kind {
        FieldType::Text => Kind::Text,
        FieldType::Number => Kind::Number,
        FieldType::Integer => Kind::Integer,
        FieldType::Bool => Kind::Bool,
        FieldType::Date => Kind::Date,
        FieldType::Timestamp => Kind::Timestamp,
        FieldType::Select => Kind::Select(field.options.clone()),
        FieldType::MultiSelect => Kind::MultiSelect(field.options.clone()),
        FieldType::Tags => Kind::Tags,
        FieldType::User => Kind::User,
        FieldType::Json => Kind::Json,
        FieldType::Document => {
            if field.required || field.unique {
                return Err((
                    "",
                    "a document is written by those who open it; it takes neither required nor unique".to_owned(),
                ));
            }
            Kind::Document
        }
        FieldType::Reference => {
            let Some(target) = &field.collection else {
                return Err(("/collection", "a reference needs the collection that it points to".to_owned()));
            };
            let number = if target.as_str() == collection.name {
                Some(collection.number)
            } else {
                catalog.named(target.as_str()).map(|target| target.number)
            };
            let missing = || ("/collection", format!("there is no collection {:?}", target.as_str()));
            let on_delete = Deletion::from_api(field.on_delete.unwrap_or_default());
            if on_delete == Deletion::SetNull && field.required {
                return Err(("/on_delete", "set_null does not go with required".to_owned()));
            }
            Kind::Reference {
                collection: number.ok_or_else(missing)?,
                name: target.as_str().to_owned(),
                on_delete,
            }
        }
        FieldType::Sequence => {
            if field.required || field.unique {
                return Err((
                    "",
                    "a sequence is always there; it takes neither required nor unique".to_owned(),
                ));
            }
            let Some(per) = &field.per else {
                return Ok(Kind::Sequence { per: None });
            };
            // The fields are completed in order of their names; the type is taken from what the user sent.
            let spec = collection
                .field(per.as_str())
                .ok_or_else(|| ("/per", format!("there is no field {:?}", per.as_str())))?;
            Kind::Sequence { per: Some(spec.number) }
        }
    })
}
