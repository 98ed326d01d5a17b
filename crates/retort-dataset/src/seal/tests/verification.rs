//! What sums and verification find.

use super::*;

#[tokio::test]
async fn sums_are_what_sha256sum_checks() {
    let (dir, store) = local_store();
    put(&store, 1, &campaign(10)).await;
    let sealed = seal_all(&store, 10).await.unwrap();
    let folder = dir.path().join(&sealed.path);
    let sums = std::fs::read_to_string(folder.join(SUMS_FILE)).unwrap();
    let mut listed = BTreeSet::new();
    for line in sums.lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(folder.join(path)).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest, "{path}");
        listed.insert(path.to_owned());
    }
    listed.insert(SUMS_FILE.to_owned());
    let there = store.list(&sealed.path).await.unwrap();
    let there: BTreeSet<String> = there
        .iter()
        .filter_map(|path| {
            Some(
                path.strip_prefix(&sealed.path)?
                    .strip_prefix('/')?
                    .to_owned(),
            )
        })
        .collect();
    assert_eq!(listed, there);
    // The manifest is canonical JSON.
    let text = std::fs::read_to_string(folder.join(MANIFEST_FILE)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(canonical_json(&value).unwrap(), text);
}

#[tokio::test]
async fn verification_finds_any_change() {
    let (dir, store) = local_store();
    put(&store, 1, &campaign(10)).await;
    let sealed = seal_all(&store, 10).await.unwrap();
    let folder = dir.path().join(&sealed.path);
    let copy = Snapshot::open_folder(&folder).await.unwrap();
    assert_eq!(
        copy.verify().await.unwrap().files,
        copy.manifest.files.len() as u64
    );
    let mut names: Vec<String> = copy.manifest.files.iter().map(|f| f.path.clone()).collect();
    names.extend([SUMS_FILE.to_owned()]);
    for name in &names {
        let path = folder.join(name);
        let before = std::fs::read(&path).unwrap();
        let mut after = before.clone();
        let middle = after.len() / 2;
        after[middle] ^= 1;
        std::fs::write(&path, after).unwrap();
        let error = copy.verify().await.unwrap_err().to_string();
        assert!(error.contains(name.as_str()), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(copy.verify().await.is_err());
        std::fs::write(&path, before).unwrap();
    }
    std::fs::write(folder.join("responses/extra.parquet"), "x").unwrap();
    let error = copy.verify().await.unwrap_err().to_string();
    assert!(
        error.contains("extra.parquet") && error.contains("not listed"),
        "{error}"
    );
    std::fs::remove_file(folder.join("responses/extra.parquet")).unwrap();
    // A changed figure in the manifest is found even where the files are right.
    let manifest = folder.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&manifest)
        .unwrap()
        .replace("\"answered\":6", "\"answered\":7");
    std::fs::write(&manifest, text).unwrap();
    let changed = Snapshot::open_folder(&folder).await.unwrap();
    let error = changed.verify().await.unwrap_err().to_string();
    assert!(error.contains(SUMS_FILE), "{error}");
}
