//! What a module defines, imports and mentions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Field, ImplItemFn, Item, ItemUse, LitStr, Macro, Meta, UseTree, Visibility};

/// A module: a file, or a part of one that stands in braces.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    /// What is defined here.
    pub(crate) items: BTreeMap<String, Kind>,
    pub(crate) imports: Vec<Import>,
    /// Paths in code, other than those of imports.
    pub(crate) mentions: Vec<Segments>,
    /// Texts in code.
    pub(crate) texts: Vec<String>,
    /// Long options of a command line that are defined here.
    pub(crate) options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A function or a macro.
    Function,
    /// A type, a trait or a constant.
    Other,
}

/// A path's segments, as they are written.
pub(crate) type Segments = Vec<String>;

/// One name that a `use` brings, or with a glob all of a module's.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) name: Option<String>,
    pub(crate) path: Segments,
    /// Whether it hands the name on, to whomever.
    pub(crate) is_export: bool,
}

impl Module {
    /// Reads a module's items, but not those of modules within it.
    pub(crate) fn read(items: &[Item]) -> Self {
        let mut module = Self::default();
        for item in items {
            let kind = match item {
                Item::Fn(_) | Item::Macro(_) => Kind::Function,
                _ => Kind::Other,
            };
            module.items.extend(name(item).map(|name| (name, kind)));
            module.visit_item(item);
        }
        module
    }
}

/// Whether an item is there in tests only.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = || attribute.parse_args::<syn::Path>();
        attribute.path().is_ident("cfg") && condition().is_ok_and(|it| it.is_ident("test"))
    })
}

/// The name that an item defines.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        if !matches!(item, Item::Mod(_)) && !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `::name` is a crate of others.
        if item.leading_colon.is_none() {
            let is_export = !matches!(item.vis, Visibility::Inherited);
            flatten(&item.tree, &[], is_export, &mut self.imports);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter();
            self.mentions
                .push(segments.map(|it| it.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }

    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        self.texts.push(text.value());
    }

    fn visit_field(&mut self, field: &'ast Field) {
        if let Some(name) = &field.ident
            && field.attrs.iter().any(is_long_option)
        {
            self.options.push(name.to_string().replace('_', "-"));
        }
        visit::visit_field(self, field);
    }

    // What stands there is no use of code.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn flatten(tree: &UseTree, before: &[String], is_export: bool, imports: &mut Vec<Import>) {
    let with = |last: String| [before, &[last]].concat();
    let (name, path) = match tree {
        UseTree::Path(tree) => {
            return flatten(
                &tree.tree,
                &with(tree.ident.to_string()),
                is_export,
                imports,
            );
        }
        UseTree::Group(group) => {
            return group
                .items
                .iter()
                .for_each(|tree| flatten(tree, before, is_export, imports));
        }
        // `a::{self}`
        UseTree::Name(tree) if tree.ident == "self" => (before.last().cloned(), before.to_owned()),
        UseTree::Name(tree) => (Some(tree.ident.to_string()), with(tree.ident.to_string())),
        UseTree::Rename(tree) => (Some(tree.rename.to_string()), with(tree.ident.to_string())),
        UseTree::Glob(_) => (None, before.to_owned()),
    };
    imports.push(Import {
        name,
        path,
        is_export,
    });
}

/// Whether clap makes a long option of a field.
fn is_long_option(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return false;
    };
    let is_long = |token| matches!(token, TokenTree::Ident(ident) if ident == "long");
    list.path.is_ident("arg") && list.tokens.clone().into_iter().any(is_long)
}

impl Module {
    /// A macro's input may be anything; what looks like a path of several segments is taken for one.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut colons = 0_u8;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.mention(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons = colons.saturating_add(1);
                }
                other => {
                    self.mention(&mut path);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.read_tokens(group.stream()),
                        TokenTree::Literal(literal) => {
                            let text = syn::parse_str::<LitStr>(&literal.to_string());
                            self.texts.extend(text.map(|text| text.value()));
                        }
                        _ => {}
                    }
                }
            }
        }
        self.mention(&mut path);
    }

    fn mention(&mut self, path: &mut Segments) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.mentions.push(path);
        }
    }
}
