//! The modules of one library or program, as its sources have them.

use std::path::Path;

use syn::{Item, ItemMod};

use crate::files::module::{Module, is_for_tests};

/// Gives a file's text by its path in the workspace, or `None` if there is no such file.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The modules of a library or program; the first is its root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
}

impl Tree {
    /// Reads the file `root` and all that its `mod` declarations name, without what is for tests.
    pub(crate) fn read(root: &Path, read: Read<'_>) -> Result<Self, String> {
        let mut tree = Self::default();
        let folder = root.parent().unwrap_or_else(|| Path::new("")).to_owned();
        tree.add_file(root, &folder, None, read)?;
        Ok(tree)
    }

    /// `folder` is where the module's children are.
    fn add_file(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        read: Read<'_>,
    ) -> Result<usize, String> {
        let failed = |why: &str| format!("{}: {why}", file.display());
        let text = read(file).ok_or_else(|| failed("no such file"))?;
        let syntax = syn::parse_file(&text).map_err(|error| failed(&error.to_string()))?;
        self.add(file, folder, parent, &syntax.items, read)
    }

    fn add(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        items: &[Item],
        read: Read<'_>,
    ) -> Result<usize, String> {
        let mut module = Module::read(items);
        file.clone_into(&mut module.file);
        module.parent = parent;
        let this = self.modules.len();
        self.modules.push(module);
        for item in items {
            let Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            // A file outside the folder is another program's, and looked at there.
            let is_elsewhere = child.attrs.iter().any(|it| it.path().is_ident("path"));
            if is_for_tests(&child.attrs) || is_elsewhere {
                continue;
            }
            let index = self.add_child(file, folder, this, child, read)?;
            if let Some(module) = self.modules.get_mut(this) {
                module.children.insert(name, index);
            }
        }
        Ok(this)
    }

    fn add_child(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: usize,
        child: &ItemMod,
        read: Read<'_>,
    ) -> Result<usize, String> {
        let name = child.ident.to_string();
        let inner = folder.join(&name);
        match &child.content {
            Some((_, items)) => self.add(file, &inner, Some(parent), items, read),
            None => {
                let file = folder.join(format!("{name}.rs"));
                self.add_file(&file, &inner, Some(parent), read)
            }
        }
    }
}
