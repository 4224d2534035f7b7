//! Arrow schema, Parquet writer and commit chain.
