//! The JSON Schemas of `docs/schemas`, compiled.

use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// One schema.
pub(crate) struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    /// `name` is that of the file, without `.schema.json`.
    pub(crate) fn open(name: &str) -> Self {
        let path = root().join(format!("docs/schemas/{name}.schema.json"));
        let mut schemas = Schemas::new();
        let index = Compiler::new().compile(path.to_str().unwrap(), &mut schemas).unwrap();
        Schema { schemas, index }
    }

    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.index).map_err(|error| format!("{error:#}"))
    }

    pub(crate) fn check_toml(&self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        self.check(&serde_json::to_value(table).unwrap())
    }
}

/// Of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
