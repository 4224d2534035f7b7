//! Values held against the schemas of a document. What a schema does not describe is refused here, so that a field
//! which the code has and the document has not is seen; clients are to pass over it.

use boon::{Compiler, Schemas};
use serde_json::Value;

/// A document whose parts are schemas.
pub struct Document {
    document: Value,
}

const NAME: &str = "https://localhost/document.json";

impl Document {
    pub fn new(mut document: Value) -> Self {
        close(&mut document);
        Document { document }
    }

    /// Holds a value against the schema at a pointer such as `/components/schemas/Alert`.
    pub fn check(&self, pointer: &str, value: &Value) -> Result<(), String> {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.add_resource(NAME, self.document.clone()).map_err(|error| error.to_string())?;
        let index = compiler.compile(&format!("{NAME}#{pointer}"), &mut schemas);
        let index = index.map_err(|error| format!("{pointer}: {error:#}"))?;
        schemas.validate(value, index).map_err(|error| format!("{error:#}\n{value:#}"))
    }
}

/// Nothing beside what is described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            let is_open = object.get("type") == Some(&"object".into())
                && object.contains_key("properties")
                && !object.contains_key("additionalProperties");
            if is_open {
                object.insert("unevaluatedProperties".to_owned(), false.into());
            }
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}
