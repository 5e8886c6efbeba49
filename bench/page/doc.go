// Package page makes a page of what bench commands measured: suites in, files out. It reads no clock, no file and no machine; the same suites
// give the same bytes.
//
// The life of a page:
//
//  1. Files takes suites and sorts each scenario's points into lines: those that differ in the scenario's X alone belong to one series. Runs
//     in which the check found a problem are left out of every figure, and named.
//  2. A chart is built from lines: its scales, its legend, and a body that draws the data. It is drawn at two widths, since a page that shrinks
//     a wide plot to the width of a telephone makes its text unreadable.
//  3. A drawing is a list of marks in points, with the role of a colour (ink, grid, third series) in place of a colour. The SVG writer turns
//     roles into classes, so that the page's style decides about light and dark; the PNG writer takes the light ones.
//  4. Tables and the verdict on the bounds are built from the same spreads: the median of the runs, with the least and the most.
//  5. The template joins all into index.html. It refers to nothing outside itself; its script only sorts tables.
//
// # Why not a library for plots
//
// gonum.org/v1/plot v0.17.0 was tried. It brings nine modules and 8.9 MB to the binary, for LaTeX, PDF and TIFF that this page has no use for;
// golang.org/x/image with its fonts, which rasterises the same drawing here, brings two modules and 0.6 MB. Above all its SVG has fixed colours and sizes:
// no dark page, and nothing that can be read at a width of 400. A percentile axis, ratios and stacked stages would have to be written in any case.
//
// The whole report makes the binary 4.2 MB larger, from 12.7 to 16.9: the greater part is html/template, which escapes by context and keeps the linker from
// leaving methods out.
package page
