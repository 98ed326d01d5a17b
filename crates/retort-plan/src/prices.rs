//! Prices from a file of their own, so that they can be replaced without touching a catalog.

use std::collections::BTreeMap;

use retort_types::catalog::Price;
use retort_types::{Catalog, ProviderName};

use crate::check;
use crate::error::{Document, SpecError, steps};
use crate::read::parse;

/// Prices by provider, as the catalog names it, and model, as sent.
pub type Prices = BTreeMap<ProviderName, BTreeMap<String, Price>>;

/// Reads a file of prices: `provider: {model as sent: {input, output, as_of, source}}`.
///
/// # Errors
/// When the text is not YAML or JSON, or a price has no day or source.
pub fn parse_prices(text: &str, name: &str) -> Result<Prices, SpecError> {
    let prices: Prices = parse(text, name, Document::Prices)?;
    for (provider, models) in &prices {
        for (model, price) in models {
            check::price(price).map_err(|error| {
                error
                    .below(steps![provider.as_str(), model.as_str()])
                    .about(Document::Prices)
                    .located_in(Document::Prices, text, name)
            })?;
        }
    }
    Ok(prices)
}

/// Gives the models of `catalog` their prices. A price that the catalog states itself stays.
pub fn apply_prices(catalog: &mut Catalog, prices: &Prices) {
    for model in catalog.models.values_mut() {
        if model.price.is_some() {
            continue;
        }
        let account = catalog.accounts.get(&model.account);
        let listed = account.and_then(|account| prices.get(&account.provider));
        model.price = listed.and_then(|models| models.get(&model.model)).cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{CATALOG, catalog, shown};

    const PRICES: &str = "\
alpha:
  large-1: {input: 9, output: 9, as_of: 2026-02-01, source: https://alpha.example/prices}
beta:
  one: {input: 1, output: 2, as_of: 2026-02-01, source: https://beta.example/prices}
elsewhere:
  two: {input: 1, output: 2, as_of: 2026-02-01, source: https://elsewhere.example/prices}
";

    #[test]
    fn prices_fill_what_the_catalog_leaves_out() {
        assert!(CATALOG.contains("price: {input: 2.0"));
        let mut rows = catalog();
        apply_prices(&mut rows, &parse_prices(PRICES, "prices.yaml").unwrap());
        let input = |name: &str| rows.models[name].price.as_ref().map(|price| price.input);
        assert_eq!(input("alpha-large"), Some(2.0));
        assert_eq!(input("beta-one"), Some(1.0));
        assert_eq!(input("beta-paid-elsewhere"), Some(1.0));
        assert_eq!(input("beta-two"), None);
    }

    #[test]
    fn a_price_needs_a_day_and_a_source() {
        let cases = [
            ("as_of: 2026-02-01, ", "", "missing key `as_of`"),
            ("2026-02-01", "lately", "`lately` is not a day"),
        ];
        for (old, new, expected) in cases {
            let error = parse_prices(&PRICES.replacen(old, new, 1), "prices.yaml").unwrap_err();
            assert!(shown(&error).contains(expected), "{}", shown(&error));
            assert!(error.hint().is_some());
        }
    }
}
