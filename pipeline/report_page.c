/* SPDX-License-Identifier: MIT */
#include "pipeline/report.h"
void report_page(struct page *page, const struct comparison *c)
{
    page_put(page, c->headline);
}
