/* SPDX-License-Identifier: MIT
 *
 * The looks of report.html: one column, two palettes, no scripts, no fonts but the reader's own. Each entrant has a
 * colour (classes e0 to e3), which its dot and its bars bear.
 */
#include "pipeline/report.h"

const char *const report_style[] = {
    ":root{color-scheme:light "
    "dark;--bg:#faf8f4;--card:#fff;--ink:#211f1c;--soft:#6a655d;--line:#e3ded4;--track:#eeeae2;"
    "--good:#2f6b3f;--bad:#a63a24;--note:#fbf1dc;--e0:#2f6fb0;--e1:#c65d2e;--e2:#4c8a52;--e3:#8b5aa8}\n",
    "@media(prefers-color-scheme:dark){:root{--bg:#171614;--card:#201e1b;--ink:#ece8e0;--soft:#a8a196;--line:#37332d;"
    "--track:#2c2924;--good:#86c795;--bad:#f0907a;--note:#332b1b;--e0:#76aee8;--e1:#ec9160;--e2:#8cc790;--e3:#c49be0}}"
    "\n",
    "*{box-sizing:border-box}\n",
    "html{-webkit-text-size-adjust:100%}\n",
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Noto Sans\",\"Noto Sans KR\",\"Apple SD Gothic Neo\",\"Malgun Gothic\",sans-serif}\n",
    "main{max-width:64rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}\n",
    "h1,h2{font-family:\"Iowan Old Style\",\"Palatino Linotype\",Palatino,\"Book Antiqua\",Georgia,serif;"
    "font-weight:600;line-height:1.2;text-wrap:balance}\n",
    "h1{font-size:clamp(1.75rem,1.2rem + 2.6vw,2.75rem);margin:.2em 0 .5em;overflow-wrap:anywhere}\n",
    "h2{font-size:1.5rem;margin:3.5rem 0 .35rem}\n",
    "h3{font-size:1rem;margin:1.75rem 0 .5rem}\n",
    "p{margin:.4rem 0 .9rem;max-width:46rem}\n",
    ".kicker,.soft,small,caption,figcaption,footer{color:var(--soft)}\n",
    ".kicker{font-size:.85rem;letter-spacing:.02em;margin:0}\n",
    ".lead{font-size:1.1rem}\n",
    "ul.plain{list-style:none;padding:0;margin:0 0 1rem;max-width:46rem}\n",
    "ul.plain li{margin:.35rem 0;padding-left:1.1rem;position:relative}\n",
    "ul.plain li::before{content:\"\";position:absolute;left:0;top:.65em;width:.45rem;height:.45rem;border-radius:50%;"
    "background:var(--soft)}\n",
    "ul.plain li.fault::before,ul.plain li.doubt::before{background:var(--bad)}\n",
    "ul.plain li.good::before{background:var(--good)}\n",
    ".note{background:var(--note);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;margin:1.2rem "
    "0}\n",
    ".note p{margin:.2rem 0}\n",
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(13.5rem,1fr));gap:1rem;margin:1.6rem 0}\n",
    ".card{background:var(--card);border:1px solid var(--line);border-top:4px solid var(--e);border-radius:.6rem;"
    "padding:1rem 1.1rem}\n",
    ".card h3{margin:0;font-size:1.1rem;overflow-wrap:anywhere}\n",
    ".card p{margin:.1rem 0 .7rem;font-size:.9rem}\n",
    ".tiles{display:grid;grid-template-columns:repeat(2,1fr);gap:.6rem 1rem;margin:.8rem 0 0}\n",
    ".tiles dt{font-size:.8rem;color:var(--soft)}\n",
    ".tiles dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums;line-height:1.25}\n",
    ".tiles dd small{font-size:.8rem;font-weight:400;white-space:nowrap}\n",
    ".e0{--e:var(--e0)}.e1{--e:var(--e1)}.e2{--e:var(--e2)}.e3{--e:var(--e3)}\n",
    ".name{white-space:nowrap}\n",
    ".name::before{content:\"\";display:inline-block;width:.65em;height:.65em;border-radius:50%;background:var(--e);"
    "margin-right:.4em}\n",
    "img{display:block;max-width:100%;height:auto;border-radius:.35rem;background:#fff;object-fit:contain}\n",
    ".strip{display:grid;grid-template-columns:repeat(8,1fr);gap:.5rem;margin:.4rem 0 "
    "1rem;padding:0;list-style:none}\n",
    ".strip "
    "li{font-size:.78rem;line-height:1.3;color:var(--soft);text-align:center;font-variant-numeric:tabular-nums}\n",
    ".strip img{width:100%;margin-bottom:.25rem}\n",
    ".row{display:flex;flex-wrap:wrap;align-items:flex-start;gap:.4rem}\n",
    "td .row{flex-wrap:nowrap}td .row img{flex:0 1 auto;min-width:0}\n",
    ".pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.2rem,1fr));gap:.8rem;margin:.5rem 0 1rem;"
    "padding:0;list-style:none}\n",
    ".pairs li{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem;font-size:.8rem;"
    "color:var(--soft)}\n",
    ".pairs img{margin-bottom:.2rem}\n",
    ".scroll{overflow-x:auto;margin:.6rem 0 1rem}\n",
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n",
    "table.even{table-layout:fixed}table.even thead th:first-child{width:34%}\n",
    "details summary{cursor:pointer;color:var(--soft)}details[open] summary{margin-bottom:.5rem}\n",
    "caption{text-align:left;font-size:.85rem;padding:0 0 .5rem}\n",
    "th,td{text-align:left;vertical-align:top;padding:.55rem .6rem;border-top:1px solid var(--line)}\n",
    "thead th{border-top:0;font-size:.9rem;vertical-align:bottom}\n",
    "th[scope=row]{font-weight:600;min-width:9.5rem;max-width:19rem}\n",
    "th[scope=row] small,td small{display:block;font-weight:400;font-size:.8rem;line-height:1.4}\n",
    "th[scope=rowgroup]{padding-top:1.3rem;border-top:0;color:var(--soft);font-size:.8rem;letter-spacing:.05em;"
    "text-transform:uppercase}\n",
    "td.figure{min-width:8.5rem}\n",
    "td.figure b{font-size:1.02rem}\n",
    ".bar{display:block;height:.42rem;border-radius:.21rem;background:var(--track);margin-top:.3rem;overflow:hidden}\n",
    ".bar i{display:block;height:100%;border-radius:.21rem;background:var(--e);min-width:2px}\n",
    ".best{color:var(--good);font-size:.78rem;font-weight:600;margin-left:.35rem}\n",
    ".caution{color:var(--soft)}\n",
    ".hits td{padding:.2rem .6rem;vertical-align:middle}.hits th{padding:.2rem .6rem;font-weight:400}\n",
    ".hits td .bar{margin-top:0}\n",
    "dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.2rem;margin:.6rem 0 1.2rem}\n",
    "dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere}\n",
    "code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}\n",
    "footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:1rem;font-size:.85rem}\n",
    "@media(max-width:40rem){body{font-size:15px}main{padding:1.5rem 1rem 3rem}h2{margin-top:2.5rem}"
    ".strip{grid-template-columns:repeat(4,1fr)}th,td{padding:.5rem .35rem}td.figure{min-width:6.2rem}"
    "th[scope=row]{min-width:7.5rem}dl.facts{grid-template-columns:1fr}dl.facts dd{margin-bottom:.5rem}"
    ".wide tr,.wide tbody,.wide th,.wide td{display:block}.wide thead{display:none}.wide table,.wide "
    "caption{display:block}"
    ".wide td{border-top:0;padding-top:.1rem}.wide th[scope=row]{max-width:none}.wide "
    "td::before{content:attr(data-name);display:block;font-size:.8rem;"
    "color:var(--soft)}}\n",
    "@media(min-width:40.01rem){.wide td::before{content:none}}\n",
    "@media "
    "print{:root{--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--track:#eee;--note:#fff;--good:#1d5a2e;"
    "--bad:#8f2b17;--e0:#2f6fb0;--e1:#c65d2e;--e2:#4c8a52;--e3:#8b5aa8}body{font-size:10.5pt}"
    "main{max-width:none;padding:0}h2{margin-top:1.6rem}h2,h3{break-after:avoid}"
    "tr,figure,.card,.strip,.pairs li,.note{break-inside:avoid}.scroll{overflow:visible}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}\n",
    NULL,
};
