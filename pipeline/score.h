/* SPDX-License-Identifier: MIT
 *
 * What stands behind limn.h's CLIP model, for those who use it here.
 */
#ifndef PIPELINE_SCORE_H
#define PIPELINE_SCORE_H

#include "clip/clip_pair.h"
#include "include/limn.h"

struct limn_clip {
    struct backend *backend; /* owned, like the pair */
    struct clip_pair *pair;
};

#endif
