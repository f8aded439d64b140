# SPDX-License-Identifier: MIT
"""What the pack is made of: the sizes of the pictures and of the networks, the
drawings, and how captions are drawn. A wider pack is a change of this file.
"""

# ---- pictures
SIZE = 64           # side in pixels
MARGIN = 3          # white border
CONCEPTS = "core.txt"   # which of concepts.txt to use; None: all
COPIES = ["red", "yellow", "green", "blue", "purple", "pink"]   # colours of recoloured copies

# package, style words in English, in Korean; others the builder can read: twemoji,
# fluent-emoji, emojione
STYLES = [
    ("noto", ["noto style"], ["노토 스타일"]),
    ("fluent-emoji-flat", ["flat style"], ["플랫 스타일"]),
]

# ---- captions
CAPTIONS = 32       # drawn per picture
STYLE_SHARE = .40   # captions that name the style
KOREAN_SHARE = .30
COLOUR_SHARE = .50  # captions of a picture in its own colour that name it
TAG_SHARE = 0       # English captions that end in one of emojibase's tags
LABEL_SHARE = 0     # English captions that use emojibase's label

LICENCE = ("Trained on drawings of Noto Emoji (Apache-2.0) and Fluent Emoji (MIT), with names from emojibase (MIT); "
           "see ATTRIBUTION.md")
