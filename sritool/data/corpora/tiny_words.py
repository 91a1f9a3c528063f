"""The words of the bundled corpus's grammar: nine scenes for captions, five venues for reviews."""

from __future__ import annotations

from typing import NamedTuple

Choice = dict[str, tuple[str, ...]]  # by sentiment or by tense


class Topic(NamedTuple):
    """A scene: who is there, what they do (verb forms base, third person, past, -ing; complements), where."""

    subjects: tuple[str, ...]
    actions: tuple[tuple[str, tuple[str, ...]], ...]
    places: tuple[str, ...]


class Venue(NamedTuple):
    """Something to review: its parts with what is said of them, and the people who work there."""

    items: dict[str, Choice]
    staff: tuple[str, ...]
    manners: Choice
    services: tuple[str, ...]  # verb forms: base, third person, past, -ing
    uncountable: tuple[str, ...] = ()


PLURALS = {
    "baby": "babies",
    "child": "children",
    "coach": "coaches",
    "man": "men",
    "puppy": "puppies",
    "waitress": "waitresses",
    "woman": "women",
}

MOODS: Choice = {
    "positive": ("happy", "cheerful", "proud", "smiling", "excited", "calm"),
    "negative": ("sad", "tired", "angry", "bored", "lonely", "nervous"),
}
ADVERBS: Choice = {
    "positive": ("happily", "gladly", "proudly", "gracefully", "calmly"),
    "negative": ("sadly", "angrily", "clumsily", "nervously", "grimly"),
}
SCENES: Choice = {
    "positive": ("in the warm sun", "under a clear sky", "on a lovely morning", "among good friends"),
    "negative": ("in the cold rain", "under a dark sky", "on a gloomy evening", "without any hope"),
}
TIMES: Choice = {
    "past": ("yesterday", "last week", "an hour ago", "last summer"),
    "present": ("now", "today", "this morning", "every day"),
    "future": ("tomorrow", "next week", "soon", "next summer"),
}
OPENERS: Choice = {
    "positive": ("luckily ,", "as we hoped ,", "to our delight ,"),
    "negative": ("unfortunately ,", "as we feared ,", "to our dismay ,"),
}
ENDINGS: Choice = {
    "positive": ("definitely come back", "gladly return", "send all our friends"),
    "negative": ("never come back", "hardly ever return", "never send anybody"),
}
VERDICTS: dict[str, tuple[tuple[str, str], ...]] = {
    "positive": (("love", "loved"), ("enjoy", "enjoyed"), ("praise", "praised")),
    "negative": (("hate", "hated"), ("dislike", "disliked"), ("regret", "regretted")),
}

TOPICS: dict[str, Topic] = {
    "beach": Topic(
        ("surfer", "sailor", "lifeguard", "child", "swimmer"),
        (
            ("ride rides rode riding", ("a tall wave", "a wooden board")),
            ("build builds built building", ("a sand castle", "a small raft")),
            ("collect collects collected collecting", ("white shells", "smooth stones")),
            ("swim swims swam swimming", ("with a dolphin", "toward a boat")),
        ),
        ("on the beach", "by the sea", "near the harbour", "along the shore"),
    ),
    "park": Topic(
        ("dog", "boy", "girl", "puppy", "runner"),
        (
            ("chase chases chased chasing", ("a red ball", "a brown squirrel")),
            ("catch catches caught catching", ("a yellow frisbee", "a red ball")),
            ("feed feeds fed feeding", ("the ducks", "a brown squirrel")),
            ("jump jumps jumped jumping", ("over a bench", "through the leaves")),
        ),
        ("in the park", "on the grass", "under the trees", "beside the pond"),
    ),
    "kitchen": Topic(
        ("chef", "baker", "grandmother", "woman", "cook"),
        (
            ("bake bakes baked baking", ("fresh bread", "an apple pie")),
            ("stir stirs stirred stirring", ("a pot of soup", "the sweet sauce")),
            ("slice slices sliced slicing", ("ripe tomatoes", "fresh bread")),
            ("taste tastes tasted tasting", ("the sweet sauce", "an apple pie")),
        ),
        ("in the kitchen", "at the stove", "behind the counter", "at the table"),
    ),
    "street": Topic(
        ("cyclist", "driver", "tourist", "man", "musician"),
        (
            ("cross crosses crossed crossing", ("the busy road", "a stone bridge")),
            ("push pushes pushed pushing", ("a broken bicycle", "a heavy cart")),
            ("photograph photographs photographed photographing", ("a stone bridge", "an old tower")),
            ("wait waits waited waiting", ("for the bus", "for a taxi")),
        ),
        ("in the city", "at the corner", "near the station", "downtown"),
    ),
    "farm": Topic(
        ("farmer", "horse", "goat", "shepherd", "cow"),
        (
            ("pull pulls pulled pulling", ("a heavy cart", "an old plough")),
            ("follow follows followed following", ("the sheep", "a noisy tractor")),
            ("eat eats ate eating", ("dry hay", "green apples")),
            ("guard guards guarded guarding", ("the sheep", "the wooden gate")),
        ),
        ("on the farm", "behind the barn", "in the field", "beside the fence"),
    ),
    "mountain": Topic(
        ("climber", "skier", "hiker", "guide", "ranger"),
        (
            ("climb climbs climbed climbing", ("a steep cliff", "an icy wall")),
            ("carry carries carried carrying", ("a heavy pack", "a long rope")),
            ("ski skis skied skiing", ("down a steep slope", "past the cabin")),
            ("explore explores explored exploring", ("a deep cave", "a hidden trail")),
        ),
        ("in the mountains", "on the snow", "near the summit", "above the valley"),
    ),
    "stadium": Topic(
        ("player", "coach", "goalkeeper", "referee", "fan"),
        (
            ("kick kicks kicked kicking", ("the ball", "a penalty")),
            ("win wins won winning", ("the final match", "a gold medal")),
            ("lose loses lost losing", ("the final match", "the silver cup")),
            ("watch watches watched watching", ("the second half", "the final match")),
        ),
        ("in the stadium", "on the pitch", "near the goal", "before the crowd"),
    ),
    "school": Topic(
        ("teacher", "student", "writer", "librarian", "baby"),
        (
            ("read reads read reading", ("a thick book", "an old story")),
            ("draw draws drew drawing", ("a blue map", "a funny picture")),
            ("write writes wrote writing", ("a long letter", "an old story")),
            ("study studies studied studying", ("a blue map", "for an exam")),
        ),
        ("at school", "in the library", "by the window", "in the classroom"),
    ),
    "stage": Topic(
        ("singer", "dancer", "drummer", "actor", "pianist"),
        (
            ("sing sings sang singing", ("a slow song", "with a choir")),
            ("play plays played playing", ("a grand piano", "an old guitar")),
            ("dance dances danced dancing", ("with a partner", "to loud music")),
            ("practise practises practised practising", ("a slow song", "a new role")),
        ),
        ("on the stage", "in the theatre", "at the concert", "under the lights"),
    ),
}

VENUES: dict[str, Venue] = {
    "restaurant": Venue(
        {
            "soup": {"positive": ("tasty", "hot", "delicious"), "negative": ("salty", "cold", "bland")},
            "dessert": {"positive": ("sweet", "delicious", "light"), "negative": ("stale", "bland", "soggy")},
            "noodles": {"positive": ("tasty", "spicy", "fresh"), "negative": ("soggy", "greasy", "cold")},
            "table": {"positive": ("clean", "spacious", "quiet"), "negative": ("dirty", "sticky", "tiny")},
        },
        ("waiter", "waitress", "cook"),
        {"positive": ("friendly", "polite", "quick"), "negative": ("rude", "careless", "slow")},
        ("bring brings brought bringing", "serve serves served serving"),
        ("soup",),
    ),
    "hotel": Venue(
        {
            "room": {"positive": ("bright", "spacious", "quiet"), "negative": ("dark", "tiny", "noisy")},
            "beds": {"positive": ("soft", "clean", "cosy"), "negative": ("hard", "dirty", "broken")},
            "breakfast": {
                "positive": ("fresh", "rich", "delicious"),
                "negative": ("poor", "stale", "greasy"),
            },
            "pool": {"positive": ("warm", "clean", "beautiful"), "negative": ("cold", "dirty", "crowded")},
        },
        ("porter", "manager", "maid"),
        {"positive": ("helpful", "polite", "kind"), "negative": ("rude", "lazy", "grumpy")},
        ("give gives gave giving", "offer offers offered offering"),
    ),
    "cinema": Venue(
        {
            "film": {"positive": ("funny", "clever", "moving"), "negative": ("dull", "silly", "endless")},
            "actors": {"positive": ("brilliant", "funny", "gifted"), "negative": ("wooden", "awful", "dull")},
            "seats": {"positive": ("soft", "roomy", "cosy"), "negative": ("hard", "narrow", "sticky")},
            "sound": {"positive": ("crisp", "rich", "clear"), "negative": ("awful", "muddy", "harsh")},
        },
        ("usher", "clerk", "manager"),
        {"positive": ("kind", "cheerful", "helpful"), "negative": ("grumpy", "lazy", "careless")},
        ("show shows showed showing", "promise promises promised promising"),
        ("sound",),
    ),
    "shop": Venue(
        {
            "shoes": {
                "positive": ("comfortable", "stylish", "cheap"),
                "negative": ("ugly", "flimsy", "pricey"),
            },
            "coat": {"positive": ("warm", "stylish", "elegant"), "negative": ("ugly", "itchy", "torn")},
            "prices": {"positive": ("fair", "low", "honest"), "negative": ("high", "unfair", "absurd")},
            "watch": {
                "positive": ("elegant", "sturdy", "cheap"),
                "negative": ("fake", "flimsy", "scratched"),
            },
        },
        ("seller", "cashier", "clerk"),
        {"positive": ("honest", "patient", "friendly"), "negative": ("pushy", "rude", "dishonest")},
        ("sell sells sold selling", "offer offers offered offering"),
    ),
    "garage": Venue(
        {
            "repair": {"positive": ("quick", "cheap", "solid"), "negative": ("sloppy", "pricey", "late")},
            "brakes": {"positive": ("safe", "quiet", "solid"), "negative": ("faulty", "noisy", "weak")},
            "engine": {
                "positive": ("quiet", "strong", "reliable"),
                "negative": ("weak", "noisy", "faulty"),
            },
            "bill": {"positive": ("fair", "low", "honest"), "negative": ("wrong", "high", "absurd")},
        },
        ("mechanic", "owner", "driver"),
        {"positive": ("skilled", "honest", "quick"), "negative": ("clumsy", "dishonest", "slow")},
        ("give gives gave giving", "promise promises promised promising"),
    ),
}
