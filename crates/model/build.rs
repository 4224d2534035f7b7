//! Generates the wire types from `proto/`, without a `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(["urban_neuron/v1/telemetry.proto", "urban_neuron/v1/log.proto"], [&root])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
