# SPDX-License-Identifier: MIT
#
# The picture in README.md, drawn from its table: awk -f doc/comparison.awk README.md >doc/comparison.svg
BEGIN {
    FS = " *\\| *"
    panel[1] = "million messages a second of 64 bytes: longer is better"; column[1] = 4
    panel[2] = "round trip of 64 bytes, \302\265s: shorter is better"; column[2] = 7
}

# A row with figures in both columns; ** is for the eye.
/^\|/ {
    gsub(/\*\*/, "")
    if ($4 + 0 == 0 || $7 + 0 == 0 || $2 == "")
        next
    name[++rows] = $2
    for (p = 1; p <= 2; p++) {
        figure[p, rows] = $column[p]
        if ($column[p] + 0 > most[p])
            most[p] = $column[p] + 0
    }
}

END {
    if (rows < 2)
        exit 1
    line = 20; names = 250; bar = 190; width = 800; height = (rows + 1) * line + 20
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" ", width, height
    printf "width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height
    print "<!-- SPDX-License-" "Identifier: MIT -->"
    print "<!-- Made by doc/comparison.awk from README.md. -->"
    print "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    for (p = 1; p <= 2; p++)
        printf "<text x=\"%d\" y=\"18\" font-size=\"11\" fill=\"#555\">%s</text>\n", \
            left(p), panel[p]
    for (i = 1; i <= rows; i++) {
        y = (i + 1) * line + 10
        ours = name[i] ~ /^shmring/
        printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\"%s>%s</text>\n", names - 10, y - 4, \
            ours ? " font-weight=\"bold\"" : "", name[i]
        for (p = 1; p <= 2; p++) {
            long = bar * figure[p, i] / most[p]
            printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"13\" fill=\"%s\"/>\n", left(p), \
                y - 15, long < 0.5 ? 0.5 : long, ours ? "#2166ac" : "#b0b0b0"
            printf "<text x=\"%.1f\" y=\"%d\">%s</text>\n", left(p) + long + 5, y - 4, figure[p, i]
        }
    }
    print "</svg>"
}

function left(p)
{
    return p == 1 ? names : names + bar + 100
}
