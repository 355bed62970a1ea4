//! Entry points for `tests/fuzz`, compiled only with `--cfg fuzzing`: they pass untrusted input
//! directly to its parsers.

use std::fs::File;
use std::io::{Seek, Write};

use crate::artifact::{Artifact, Dim, Files, Limits};
use crate::tensor::{Dtype, Input, Inputs, decode_body, encode};

/// Small, so that the fuzzer reaches them.
const LIMITS: Limits = Limits {
    unpacked_bytes: 1 << 20,
    entries: 64,
    document_bytes: 1 << 16,
};

/// Reads an archive and all its files, then the artifact in it.
pub fn archive(bytes: &[u8]) {
    let Ok(files) = Files::of_archive(file(bytes), &LIMITS) else {
        return;
    };
    let names: Vec<String> = files.names().map(str::to_owned).collect();
    for name in &names {
        assert!(!name.starts_with('/') && !name.split('/').any(|part| part == ".."));
        let _ = files.read(name, LIMITS.unpacked_bytes);
    }
    let _ = Artifact::read(files, &LIMITS);
}

/// Reads an artifact with these documents, which NULs separate: the manifest, a patch, the
/// operators, and the configuration of the variant. Returns its OpenAPI document.
pub fn manifest(bytes: &[u8]) -> Option<String> {
    let mut archive = tar::Builder::new(Vec::new());
    let names = [
        "manifest.json",
        "manifest-a.patch.json",
        "ops.json",
        "variant_config.json",
        "dtypes.json",
        "meta.json",
    ];
    for (name, part) in names.iter().zip(bytes.split(|byte| *byte == 0)) {
        if *name == "manifest-a.patch.json" && part.is_empty() {
            continue;
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(part.len() as u64);
        archive.append_data(&mut header, name, part).ok()?;
    }
    let files = Files::of_archive(file(&archive.into_inner().ok()?), &LIMITS).ok()?;
    let artifact = Artifact::read(files, &LIMITS).ok()?;
    Some(crate::server::openapi(&artifact.manifest).to_string())
}

/// Decodes a body for a model with an input of each type. What is valid is encoded and decoded
/// again, and must be the same.
pub fn request(bytes: &[u8]) {
    let named = || Dim::Named("n".into());
    let inputs = [
        ("f", "float32", vec![named(), Dim::Fixed(2)]),
        ("h", "float16", vec![]),
        ("i", "int8", vec![named()]),
        ("u", "uint64", vec![named()]),
        ("b", "bool", vec![Dim::Fixed(1)]),
        ("s", "string", vec![named(), named(), named()]),
    ];
    let mut declared = Vec::new();
    for (name, dtype, shape) in inputs {
        let (name, dtype) = (name.to_owned(), Dtype::parse(&format!("Array[{dtype}]")));
        let Ok(dtype) = dtype else { return };
        declared.push(Input { name, dtype, shape });
    }
    // Fewer inputs make valid bodies likelier.
    for count in [1, 3, declared.len()] {
        let declared = &declared[..count];
        let requests = match decode_body(bytes, declared) {
            Ok(Inputs::One(request)) => vec![request],
            Ok(Inputs::Many(requests)) => requests,
            Err(error) => {
                assert!(error.to_string().len() < 1 << 14);
                continue;
            }
        };
        for request in requests {
            let mut body = br#"{"inputs":{"#.to_vec();
            for (input, tensor) in declared.iter().zip(&request) {
                assert_eq!(tensor.datum_type(), input.dtype.datum());
                if body.len() > 11 {
                    body.push(b',');
                }
                body.extend_from_slice(format!("{:?}:", input.name).as_bytes());
                assert!(encode(tensor, None, &mut body).is_ok());
            }
            body.extend_from_slice(b"}}");
            let again = decode_body(&body, declared);
            let Ok(Inputs::One(again)) = again else {
                panic!("not read again: {}", String::from_utf8_lossy(&body));
            };
            for (one, two) in request.iter().zip(&again) {
                assert_eq!(one.shape(), two.shape());
            }
        }
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file.rewind().expect("rewound");
    file
}
