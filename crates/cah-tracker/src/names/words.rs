//! The words that names are made of.

#[rustfmt::skip]
pub(super) const MOODS: &[&str] = &[
    "able", "agile", "airy", "amber", "ample", "apt", "ardent", "avid", "azure", "balmy", "bold",
    "brave", "breezy", "bright", "brisk", "bronze", "calm", "candid", "careful", "cheery", "chief",
    "civil", "clear", "clever", "copper", "cosy", "crisp", "curious", "dapper", "daring", "dawn",
    "deft", "droll", "dusky", "eager", "early", "earnest", "easy", "even", "fabled", "fair",
    "famous", "fancy", "fleet", "fluent", "fond", "frank", "free", "fresh", "frosty", "gallant",
    "gentle", "gilded", "glad", "golden", "grand", "green", "handy", "happy", "hardy", "hearty",
    "honest", "humble", "indigo", "ivory", "jade", "jolly", "jovial", "keen", "kind", "large",
    "lean", "level", "light", "lively", "lofty", "loyal", "lucid", "lucky", "lunar", "mellow",
    "merry", "mild", "mindful", "misty", "modest", "mossy", "neat", "nimble", "noble", "novel",
    "olive", "open", "patient", "placid", "plucky", "polite", "prime", "proud", "quick", "quiet",
    "radiant", "rapid", "ready", "robust", "rosy", "rustic", "sage", "scarlet", "serene", "sharp",
    "silent", "silver", "smart", "snowy", "solar", "spry", "stable", "steady", "sturdy", "sunny",
    "swift", "tidy", "tranquil", "true", "upbeat", "vivid", "warm", "wise", "witty", "zesty",
];

#[rustfmt::skip]
pub(super) const CREATURES: &[&str] = &[
    "adder", "albatross", "alpaca", "ant", "badger", "bat", "bear", "beaver", "bee", "beetle",
    "bison", "bittern", "bobcat", "buffalo", "bunting", "buzzard", "camel", "carp", "cat",
    "caribou", "cheetah", "chough", "cicada", "civet", "cobra", "cod", "condor", "coot",
    "cormorant", "cougar", "crab", "crane", "cricket", "crow", "cuckoo", "curlew", "deer", "dingo",
    "dolphin", "dormouse", "dove", "duck", "dunlin", "eagle", "eel", "egret", "eider", "elk",
    "emu", "falcon", "ferret", "finch", "fox", "frog", "gannet", "gazelle", "gecko", "gibbon",
    "goat", "goose", "grebe", "grouse", "gull", "hare", "harrier", "hawk", "hedgehog", "heron",
    "hornet", "horse", "ibex", "ibis", "impala", "jackal", "jackdaw", "jaguar", "jay", "kestrel",
    "kite", "koala", "lapwing", "lark", "lemming", "lemur", "leopard", "lion", "linnet", "lizard",
    "llama", "lynx", "magpie", "marlin", "marmot", "marten", "martin", "mink", "mole", "moose",
    "moth", "mouse", "newt", "okapi", "osprey", "otter", "owl", "panda", "panther", "pelican",
    "perch", "pika", "pike", "pipit", "plover", "pony", "puffin", "puma", "quail", "rabbit",
    "raven", "robin", "rook", "salmon", "seal", "shrew", "skylark", "sparrow", "squid", "stoat",
    "stork", "swan", "swift", "tapir", "teal", "tern", "thrush", "tiger", "toad", "trout",
    "turtle", "vole", "walrus", "weasel", "whale", "wolf", "wombat", "wren", "yak", "zebra",
];
