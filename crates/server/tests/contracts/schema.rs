//! Values held against the schemas of a document. What a schema does not describe is refused here, so that a field
//! which the code has and the document has not is seen; clients are to pass over it.

use boon::{Compiler, Schemas};
use serde_json::Value;

use crate::running::root;

/// A document whose parts are schemas.
pub struct Document {
    document: Value,
    alert: Option<Value>,
}

const ALERT: &str = "schemas/alert.schema.json";
const NAME: &str = "https://localhost/document.json";

impl Document {
    pub fn new(mut document: Value) -> Self {
        close(&mut document);
        Document { document, alert: None }
    }

    /// One that refers to the file of the alert's schema, as those in `docs` do.
    pub fn beside_alert(document: Value) -> Self {
        let text = std::fs::read_to_string(root().join("docs").join(ALERT)).unwrap();
        let mut alert = serde_json::from_str(&text).unwrap();
        close(&mut alert);
        Document { alert: Some(alert), ..Document::new(document) }
    }

    /// Holds a value against the schema at a pointer such as `/components/schemas/Alert`.
    pub fn check(&self, pointer: &str, value: &Value) -> Result<(), String> {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.add_resource(NAME, self.document.clone()).map_err(|error| error.to_string())?;
        if let Some(alert) = &self.alert {
            let name = format!("https://localhost/{ALERT}");
            compiler.add_resource(&name, alert.clone()).map_err(|error| error.to_string())?;
        }
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
