//! Written by data/build.py from data/source.json: change those. See data/SOURCE.md.

use crate::rule::{Rule, mutual, oneway};

/// The version of CLDR whose distances these are.
pub const CLDR_VERSION: &str = "48.2.0";

/// Varieties that stand for their neighbours; they win ties.
#[rustfmt::skip]
pub(crate) const PARADIGMS: &[&str] = &[
    "en", "en-GB", "es", "es-419", "pt-BR", "pt-PT",
];

/// Sets of regions that rules name.
#[rustfmt::skip]
pub(crate) const VARIABLES: &[(&str, &[&str])] = &[
    ("$americas", &[
    "003", "005", "013", "019", "021", "029", "419", "AG", "AI", "AR", "AW", "BB", "BL", "BM", "BO", "BQ", "BR",
    "BS", "BV", "BZ", "CA", "CL", "CO", "CR", "CU", "CW", "DM", "DO", "EC", "FK", "GD", "GF", "GL", "GP", "GS",
    "GT", "GY", "HN", "HT", "JM", "KN", "KY", "LC", "MF", "MQ", "MS", "MX", "NI", "PA", "PE", "PM", "PR", "PY",
    "SR", "SV", "SX", "TC", "TT", "US", "UY", "VC", "VE", "VG", "VI",
    ]),
    ("$cnsar", &[
    "HK", "MO",
    ]),
    ("$enUS", &[
    "AS", "CA", "GU", "MH", "MP", "PH", "PR", "UM", "US", "VI",
    ]),
    ("$maghreb", &[
    "DZ", "EH", "LY", "MA", "MR", "TN",
    ]),
];

/// Between languages.
#[rustfmt::skip]
pub(crate) const LANGUAGES: &[Rule] = &[
    mutual("nb", "no", 1), mutual("hr", "bs", 4), mutual("sh", "bs", 4), mutual("sh", "hr", 4),
    mutual("sh", "sr", 4), mutual("ssy", "aa", 4), oneway("gsw", "de", 4), oneway("lb", "de", 4),
    mutual("da", "no", 8), mutual("da", "nb", 8), oneway("ab", "ru", 30), oneway("ach", "en", 30),
    oneway("af", "en", 20), oneway("ak", "en", 30), oneway("am", "en", 30), oneway("ay", "es", 20),
    oneway("az", "ru", 30), oneway("bal", "ur", 20), oneway("be", "ru", 20), oneway("bem", "en", 30),
    oneway("bh", "hi", 30), oneway("bn", "en", 30), oneway("bo", "zh", 20), oneway("br", "fr", 20),
    oneway("ca", "es", 20), oneway("ceb", "fil", 30), oneway("chr", "en", 20), oneway("ckb", "ar", 30),
    oneway("co", "fr", 20), oneway("crs", "fr", 20), mutual("cs", "sk", 20), oneway("cy", "en", 20),
    oneway("ee", "en", 30), oneway("eo", "en", 30), oneway("eu", "es", 20), oneway("fo", "da", 20),
    oneway("fy", "nl", 20), oneway("ga", "en", 20), oneway("gaa", "en", 30), oneway("gd", "en", 20),
    oneway("gl", "es", 20), oneway("gn", "es", 20), oneway("gu", "hi", 30), oneway("ha", "en", 30),
    oneway("haw", "en", 20), oneway("ht", "fr", 20), oneway("hy", "ru", 30), oneway("ia", "en", 30),
    oneway("ig", "en", 30), oneway("is", "en", 20), oneway("jv", "id", 20), oneway("ka", "en", 30),
    oneway("kg", "fr", 30), oneway("kk", "ru", 30), oneway("km", "en", 30), oneway("kn", "en", 30),
    oneway("kri", "en", 30), oneway("ku", "tr", 30), oneway("ky", "ru", 30), oneway("la", "it", 20),
    oneway("lg", "en", 30), oneway("ln", "fr", 30), oneway("lo", "en", 30), oneway("loz", "en", 30),
    oneway("lua", "fr", 30), oneway("mai", "hi", 20), oneway("mfe", "en", 30), oneway("mg", "fr", 30),
    oneway("mi", "en", 20), oneway("ml", "en", 30), oneway("mn", "ru", 30), oneway("mr", "hi", 30),
    oneway("ms", "id", 30), oneway("mt", "en", 30), oneway("my", "en", 30), oneway("ne", "en", 30),
    mutual("nn", "nb", 20), mutual("nn", "no", 20), oneway("nso", "en", 30), oneway("ny", "en", 30),
    oneway("nyn", "en", 30), oneway("oc", "fr", 20), oneway("om", "en", 30), oneway("or", "en", 30),
    oneway("pa", "en", 30), oneway("pcm", "en", 20), oneway("ps", "en", 30), oneway("qu", "es", 30),
    oneway("rm", "de", 20), oneway("rn", "en", 30), oneway("rw", "fr", 30), oneway("sa", "hi", 30),
    oneway("scn", "it", 20), oneway("sd", "en", 30), oneway("si", "en", 30), oneway("sn", "en", 30),
    oneway("so", "en", 30), oneway("sq", "en", 30), oneway("st", "en", 30), oneway("su", "id", 20),
    oneway("sw", "en", 30), oneway("ta", "en", 30), oneway("te", "en", 30), oneway("tg", "ru", 30),
    oneway("ti", "en", 30), oneway("tk", "ru", 30), oneway("tlh", "en", 30), oneway("tn", "en", 30),
    oneway("to", "en", 30), oneway("tt", "ru", 30), oneway("tum", "en", 30), oneway("ug", "zh", 20),
    oneway("ur", "en", 30), oneway("uz", "ru", 30), oneway("wo", "fr", 30), oneway("xh", "en", 30),
    oneway("yi", "en", 30), oneway("yo", "en", 30), oneway("za", "zh", 20), oneway("zu", "en", 30),
    oneway("aao", "ar", 10), oneway("abh", "ar", 10), oneway("abv", "ar", 10), oneway("acm", "ar", 10),
    oneway("acq", "ar", 10), oneway("acw", "ar", 10), oneway("acx", "ar", 10), oneway("acy", "ar", 10),
    oneway("adf", "ar", 10), oneway("aeb", "ar", 10), oneway("aec", "ar", 10), oneway("afb", "ar", 10),
    oneway("apc", "ar", 10), oneway("apd", "ar", 10), oneway("arq", "ar", 10), oneway("ars", "ar", 10),
    oneway("ary", "ar", 10), oneway("arz", "ar", 10), oneway("auz", "ar", 10), oneway("avl", "ar", 10),
    oneway("ayh", "ar", 10), oneway("ayl", "ar", 10), oneway("ayn", "ar", 10), oneway("ayp", "ar", 10),
    oneway("bbz", "ar", 10), oneway("pga", "ar", 10), oneway("shu", "ar", 10), oneway("ssh", "ar", 10),
    oneway("azb", "az", 10), oneway("vro", "et", 10), oneway("ffm", "ff", 10), oneway("fub", "ff", 10),
    oneway("fue", "ff", 10), oneway("fuf", "ff", 10), oneway("fuh", "ff", 10), oneway("fui", "ff", 10),
    oneway("fuq", "ff", 10), oneway("fuv", "ff", 10), oneway("gnw", "gn", 10), oneway("gui", "gn", 10),
    oneway("gun", "gn", 10), oneway("nhd", "gn", 10), oneway("ikt", "iu", 10), oneway("enb", "kln", 10),
    oneway("eyo", "kln", 10), oneway("niq", "kln", 10), oneway("oki", "kln", 10), oneway("pko", "kln", 10),
    oneway("sgc", "kln", 10), oneway("tec", "kln", 10), oneway("tuy", "kln", 10), oneway("knn", "kok", 10),
    oneway("gkp", "kpe", 10), oneway("ida", "luy", 10), oneway("lkb", "luy", 10), oneway("lko", "luy", 10),
    oneway("lks", "luy", 10), oneway("lri", "luy", 10), oneway("lrm", "luy", 10), oneway("lsm", "luy", 10),
    oneway("lto", "luy", 10), oneway("lts", "luy", 10), oneway("lwg", "luy", 10), oneway("nle", "luy", 10),
    oneway("nyd", "luy", 10), oneway("rag", "luy", 10), oneway("ltg", "lv", 10), oneway("bhr", "mg", 10),
    oneway("bjq", "mg", 10), oneway("bmm", "mg", 10), oneway("bzc", "mg", 10), oneway("msh", "mg", 10),
    oneway("skg", "mg", 10), oneway("tdx", "mg", 10), oneway("tkg", "mg", 10), oneway("txy", "mg", 10),
    oneway("xmv", "mg", 10), oneway("xmw", "mg", 10), oneway("mvf", "mn", 10), oneway("bjn", "ms", 10),
    oneway("btj", "ms", 10), oneway("bve", "ms", 10), oneway("bvu", "ms", 10), oneway("coa", "ms", 10),
    oneway("dup", "ms", 10), oneway("hji", "ms", 10), oneway("id", "ms", 10), oneway("jak", "ms", 10),
    oneway("jax", "ms", 10), oneway("kvb", "ms", 10), oneway("kvr", "ms", 10), oneway("kxd", "ms", 10),
    oneway("lce", "ms", 10), oneway("lcf", "ms", 10), oneway("liw", "ms", 10), oneway("max", "ms", 10),
    oneway("meo", "ms", 10), oneway("mfa", "ms", 10), oneway("mfb", "ms", 10), oneway("min", "ms", 10),
    oneway("mqg", "ms", 10), oneway("msi", "ms", 10), oneway("mui", "ms", 10), oneway("orn", "ms", 10),
    oneway("ors", "ms", 10), oneway("pel", "ms", 10), oneway("pse", "ms", 10), oneway("tmw", "ms", 10),
    oneway("urk", "ms", 10), oneway("vkk", "ms", 10), oneway("vkt", "ms", 10), oneway("xmm", "ms", 10),
    oneway("zlm", "ms", 10), oneway("zmi", "ms", 10), oneway("dty", "ne", 10), oneway("gax", "om", 10),
    oneway("hae", "om", 10), oneway("orc", "om", 10), oneway("spv", "or", 10), oneway("pbt", "ps", 10),
    oneway("pst", "ps", 10), oneway("qub", "qu", 10), oneway("qud", "qu", 10), oneway("quf", "qu", 10),
    oneway("qug", "qu", 10), oneway("quh", "qu", 10), oneway("quk", "qu", 10), oneway("qul", "qu", 10),
    oneway("qup", "qu", 10), oneway("qur", "qu", 10), oneway("qus", "qu", 10), oneway("quw", "qu", 10),
    oneway("qux", "qu", 10), oneway("quy", "qu", 10), oneway("qva", "qu", 10), oneway("qvc", "qu", 10),
    oneway("qve", "qu", 10), oneway("qvh", "qu", 10), oneway("qvi", "qu", 10), oneway("qvj", "qu", 10),
    oneway("qvl", "qu", 10), oneway("qvm", "qu", 10), oneway("qvn", "qu", 10), oneway("qvo", "qu", 10),
    oneway("qvp", "qu", 10), oneway("qvs", "qu", 10), oneway("qvw", "qu", 10), oneway("qvz", "qu", 10),
    oneway("qwa", "qu", 10), oneway("qwc", "qu", 10), oneway("qwh", "qu", 10), oneway("qws", "qu", 10),
    oneway("qxa", "qu", 10), oneway("qxc", "qu", 10), oneway("qxh", "qu", 10), oneway("qxl", "qu", 10),
    oneway("qxn", "qu", 10), oneway("qxo", "qu", 10), oneway("qxp", "qu", 10), oneway("qxr", "qu", 10),
    oneway("qxt", "qu", 10), oneway("qxu", "qu", 10), oneway("qxw", "qu", 10), oneway("sdc", "sc", 10),
    oneway("sdn", "sc", 10), oneway("sro", "sc", 10), oneway("aae", "sq", 10), oneway("aat", "sq", 10),
    oneway("aln", "sq", 10), oneway("aii", "syr", 10), oneway("uzs", "uz", 10), oneway("yih", "yi", 10),
    oneway("cdo", "zh", 10), oneway("cjy", "zh", 10), oneway("cnp", "zh", 10), oneway("cpx", "zh", 10),
    oneway("csp", "zh", 10), oneway("czh", "zh", 10), oneway("czo", "zh", 10), oneway("gan", "zh", 10),
    oneway("hak", "zh", 10), oneway("hnm", "zh", 10), oneway("hsn", "zh", 10), oneway("luh", "zh", 10),
    oneway("lzh", "zh", 10), oneway("mnp", "zh", 10), oneway("nan", "zh", 10), oneway("sjc", "zh", 10),
    oneway("wuu", "zh", 10), oneway("yue", "zh", 10), mutual("*", "*", 80),
];

/// Between scripts, as language-Script.
#[rustfmt::skip]
pub(crate) const SCRIPTS: &[Rule] = &[
    oneway("am-Ethi", "en-Latn", 10), oneway("az-Latn", "ru-Cyrl", 10), oneway("bn-Beng", "en-Latn", 10),
    oneway("bo-Tibt", "zh-Hans", 10), oneway("hy-Armn", "ru-Cyrl", 10), oneway("ka-Geor", "en-Latn", 10),
    oneway("km-Khmr", "en-Latn", 10), oneway("kn-Knda", "en-Latn", 10), oneway("lo-Laoo", "en-Latn", 10),
    oneway("ml-Mlym", "en-Latn", 10), oneway("my-Mymr", "en-Latn", 10), oneway("ne-Deva", "en-Latn", 10),
    oneway("or-Orya", "en-Latn", 10), oneway("pa-Guru", "en-Latn", 10), oneway("ps-Arab", "en-Latn", 10),
    oneway("sd-Arab", "en-Latn", 10), oneway("si-Sinh", "en-Latn", 10), oneway("ta-Taml", "en-Latn", 10),
    oneway("te-Telu", "en-Latn", 10), oneway("ti-Ethi", "en-Latn", 10), oneway("tk-Latn", "ru-Cyrl", 10),
    oneway("ur-Arab", "en-Latn", 10), oneway("uz-Latn", "ru-Cyrl", 10), oneway("yi-Hebr", "en-Latn", 10),
    mutual("sr-Latn", "sr-Cyrl", 5), oneway("za-Latn", "zh-Hans", 10), oneway("zh-Hani", "zh-Hans", 20),
    oneway("zh-Hani", "zh-Hant", 20), oneway("ar-Latn", "ar-Arab", 20), oneway("bn-Latn", "bn-Beng", 20),
    oneway("gu-Latn", "gu-Gujr", 20), oneway("hi-Latn", "hi-Deva", 20), oneway("kn-Latn", "kn-Knda", 20),
    oneway("ml-Latn", "ml-Mlym", 20), oneway("mr-Latn", "mr-Deva", 20), oneway("ta-Latn", "ta-Taml", 20),
    oneway("te-Latn", "te-Telu", 20), oneway("zh-Latn", "zh-Hans", 20), oneway("ja-Latn", "ja-Jpan", 5),
    oneway("ja-Hani", "ja-Jpan", 5), oneway("ja-Hira", "ja-Jpan", 5), oneway("ja-Kana", "ja-Jpan", 5),
    oneway("ja-Hrkt", "ja-Jpan", 5), oneway("ja-Hira", "ja-Hrkt", 5), oneway("ja-Kana", "ja-Hrkt", 5),
    oneway("ko-Hani", "ko-Kore", 5), oneway("ko-Hang", "ko-Kore", 5), oneway("ko-Jamo", "ko-Kore", 5),
    oneway("ko-Jamo", "ko-Hang", 5), mutual("*-*", "*-*", 50),
];

/// Between regions, as language-Script-REGION.
#[rustfmt::skip]
pub(crate) const REGIONS: &[Rule] = &[
    mutual("ar-*-$maghreb", "ar-*-$maghreb", 4), mutual("ar-*-$!maghreb", "ar-*-$!maghreb", 4),
    mutual("ar-*-*", "ar-*-*", 5), mutual("en-*-$enUS", "en-*-$enUS", 4), mutual("en-*-$!enUS", "en-*-GB", 3),
    mutual("en-*-$!enUS", "en-*-$!enUS", 4), mutual("en-*-*", "en-*-*", 5),
    mutual("es-*-$americas", "es-*-$americas", 4), mutual("es-*-$!americas", "es-*-$!americas", 4),
    mutual("es-*-*", "es-*-*", 5), mutual("pt-*-$americas", "pt-*-$americas", 4),
    mutual("pt-*-$!americas", "pt-*-$!americas", 4), mutual("pt-*-*", "pt-*-*", 5),
    mutual("zh-Hant-$cnsar", "zh-Hant-$cnsar", 4), mutual("zh-Hant-$!cnsar", "zh-Hant-$!cnsar", 4),
    mutual("zh-Hant-*", "zh-Hant-*", 5), mutual("*-*-*", "*-*-*", 4),
];
