"""Names of parts and colours that cartoon faces are drawn with; their order decides who has which.

The names are python-avatars'. A face takes a part by its place in these tuples: another order, or
another entry, would draw other faces.
"""

SKIN_COLORS = (
  '#FFDBB4',
  '#F6CDA2',
  '#EDB98A',
  '#DFA273',
  '#D08B5B',
  '#BF7443',
  '#AE5D29',
  '#88503A',
  '#614335',
)
HAT_COLORS = (
  '#262E33',
  '#65C9FF',
  '#5199E4',
  '#25557C',
  '#929598',
  '#3C4F5C',
  '#A7FFC4',
  '#FFDEB5',
  '#FFFFB1',
  '#FF488E',
  '#FF5C5C',
  '#7A4FA3',
  '#3E8E5A',
)
CLOTHING_COLORS = (*HAT_COLORS, '#E6E6E6', '#B1E2FF', '#FFFFFF')

# Left out on purpose: parts that cover an eye, leave the crop, have no colour to change, or wear
# what would be another attribute (hats, veils, flowers, scars, an eyepatch).
HAIRS = (
  'BIG_HAIR',
  'BOB',
  'BUN',
  'CAESAR_SIDE_PART',
  'CAESAR',
  'CURLY',
  'CURVY',
  'DREADS',
  'FRIZZLE',
  'FRO_BAND',
  'FRO',
  'LONG_NOT_TOO_LONG',
  'MIA_WALLACE',
  'SHAGGY_MULLET',
  'SHAGGY',
  'SHORT_CURLY',
  'SHORT_DREADS_1',
  'SHORT_DREADS_2',
  'SHORT_FLAT',
  'SHORT_ROUND',
  'SHORT_WAVED',
  'STRAIGHT_1',
  'STRAIGHT_STRAND',
  'BRAIDS',
  'BUZZCUT',
  'CORNROWS',
  'DREADLOCKS',
  'EINSTEIN_HAIR',
  'ELVIS',
  'EVIL_SPIKE',
  'MOWGLI',
  'PIXIE',
  'POMPADOUR',
  'QUIFF',
  'TWIST_LONG_HAIR',
  'WILD',
)
HATS = (
  'HAT',
  'TURBAN',
  'WINTER_HAT_1',
  'WINTER_HAT_2',
  'WINTER_HAT_3',
  'WINTER_HAT_4',
)
SUNGLASSES = ('KURT', 'SUNGLASSES', 'SUNGLASSES_2', 'WAYFARERS', 'WAYFARERS_2')
GLASSES = ('PRESCRIPTION_1', 'PRESCRIPTION_2', 'ROUND', *SUNGLASSES)
FACIAL_HAIRS = (
  'BEARD_LIGHT',
  'BEARD_MAGESTIC',
  'BEARD_MEDIUM',
  'EINSTEIN_MOUSTACHE',
  'MOUSTACHE_FANCY',
  'MOUSTACHE_MAGNUM',
  'WICK_BEARD',
)
SMILES = ('BIG_SMILE', 'SMILE', 'TONGUE')
OTHER_MOUTHS = ('CONCERNED', 'DISBELIEF', 'GRIMACE', 'SAD', 'SCREAM_OPEN', 'SERIOUS')
EYES = (
  'CLOSED',
  'DEFAULT',
  'EYE_ROLL',
  'HAPPY',
  'SIDE',
  'SQUINT',
  'SURPRISED',
  'WINK',
  'WINK_WACKY',
)
EYEBROWS = (
  'ANGRY_NATURAL',
  'DEFAULT_NATURAL',
  'DEFAULT',
  'FLAT_NATURAL',
  'FROWN_NATURAL',
  'RAISED_EXCITED_NATURAL',
  'RAISED_EXCITED',
  'SAD_CONCERNED_NATURAL',
  'UNIBROW_NATURAL',
  'UP_DOWN_NATURAL',
  'UP_DOWN',
)
NOSES = ('DEFAULT', 'SMALL', 'WIDE')
CLOTHES = (
  'BLAZER_SHIRT',
  'BLAZER_SWEATER',
  'BOND_SUIT',
  'CHEF',
  'COLLAR_SWEATER',
  'HOODIE',
  'JEDI_ROBE',
  'OVERALL',
  'SHIRT_CREW_NECK',
  'SHIRT_SCOOP_NECK',
  'SHIRT_V_NECK',
)
