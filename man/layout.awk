# SPDX-License-Identifier: MIT
#
# doc/layout.md as a page of section 5. It knows what that document has: headings, paragraphs, tables,
# words in backquotes, bold or with a link. The variable version is the release.

function plain(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/`/, "", text)
    gsub(/\*\*/, "", text)
    return links(text)
}

# [words](where) is words
function links(text,    before, link)
{
    while (match(text, /\[[^]]*\]\([^)]*\)/)) {
        before = substr(text, 1, RSTART - 1)
        link = substr(text, RSTART + 1, RLENGTH - 1)
        sub(/\].*/, "", link)
        text = before link substr(text, RSTART + RLENGTH)
    }
    return text
}

# A line of text, not to be taken for a macro.
function line(text)
{
    text = plain(text)
    return text ~ /^[.']/ ? "\\&" text : text
}

# Lines end with a sentence, or where a word does before column 80.
function fold(text,    end)
{
    while ((end = index(text, ". ")) > 0) {
        wrap(substr(text, 1, end))
        text = substr(text, end + 2)
    }
    wrap(text)
}

function wrap(text,    cut)
{
    text = line(text)
    while (length(text) > 78) {
        for (cut = 78; cut > 1 && substr(text, cut, 1) != " "; cut--)
            ;
        if (cut <= 1)
            break
        print line(substr(text, 1, cut - 1))
        text = substr(text, cut + 1)
    }
    print line(text)
}

# A row is a tag, its first columns, and the text in the last.
function row(cells, n,    i, tag)
{
    for (i = 1; i < n; i++)
        if (cells[i] != "")
            tag = tag (tag == "" ? "" : ", ") plain(cells[i])
    print ".It " tag
    if (cells[n] != "")
        fold(cells[n])
}

function end_table()
{
    if (table)
        print ".El"
    table = 0
}

BEGIN {
    print ".\\\" SPDX-License-" "Identifier: MIT"
    print ".\\\" Made from doc/layout.md."
    print ".Dd November 21, 2026"
    print ".Dt SHMRING_LAYOUT 5"
    print ".Os shmring " version
    print ".Sh NAME"
    print ".Nm shmring_layout"
    print ".Nd the bytes of a segment of message queues"
    print ".Sh DESCRIPTION"
}

/^<!--/ || /^# / { next }

/^## / {
    end_table()
    print ".Ss " plain(substr($0, 4))
    fresh = 1
    next
}

/^\|/ {
    if ($0 ~ /^\|[-| ]*\|$/)
        next
    sub(/^\| */, "")
    sub(/ *\|$/, "")
    n = split($0, cells, / *\| */)
    if (!table) { # the first row says what the columns are
        print ".Bl -tag -width \"108, 20, zero\""
        table = 1
        heading = ""
        for (i = 1; i <= n; i++)
            if (cells[i] != "")
                heading = heading (heading == "" ? "" : ", ") plain(cells[i])
        print ".It Sy " heading ":"
        next
    }
    row(cells, n)
    next
}

/^$/ {
    end_table()
    paragraph = 1
    next
}

{
    if (paragraph && !fresh && started)
        print ".Pp"
    paragraph = fresh = 0
    started = 1
    fold($0)
}

END {
    end_table()
    print ".Sh SEE ALSO"
    print ".Xr shmring 7"
}
