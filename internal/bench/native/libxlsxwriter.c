/* Writes the rows of a file into a workbook, again and again, with libxlsxwriter in its constant memory mode.
 *
 *   libxlsxwriter SAMPLE ROWS WORKBOOK
 *
 * SAMPLE has a line for each row, fields between tabs. What a column is follows from COLUMNS: n a number, m a number with two
 * decimals, q one with three, d a date, i a date and time, s a text. Prints the seconds of writing, and the largest
 * resident memory in bytes where the system tells (0 elsewhere). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xlsxwriter.h>

#define COLUMNS "nsdsssqmmmmsi"
#define WIDTH (sizeof(COLUMNS) - 1)

struct cell {
    const char *text; /* NULL if the cell is empty */
    double number;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static long long peak(void) {
    char line[256];
    long long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %lld", &kb);
    fclose(f);
    return kb * 1024;
}

static char *contents(const char *path) {
    FILE *f = fopen(path, "rb");
    long size;
    char *text;
    if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
        return NULL;
    rewind(f);
    text = malloc(size + 1);
    if (!text || fread(text, 1, size, f) != (size_t)size)
        return NULL;
    text[size] = 0;
    fclose(f);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s SAMPLE ROWS WORKBOOK\n", argv[0]);
        return 2;
    }
    char *text = contents(argv[1]);
    if (!text) {
        perror(argv[1]);
        return 1;
    }
    size_t lines = 0;
    for (char *p = text; *p; p++)
        lines += *p == '\n';
    struct cell *cells = malloc(lines * WIDTH * sizeof *cells);
    char *p = text;
    for (size_t i = 0; i < lines * WIDTH; i++) {
        char *end = p + strcspn(p, "\t\n");
        char kind = COLUMNS[i % WIDTH];
        *end = 0;
        cells[i].text = end > p ? p : NULL;
        cells[i].number = kind == 's' ? 0 : strtod(p, NULL);
        p = end + 1;
    }
    lxw_row_t rows = atol(argv[2]);

    double start = now();
    lxw_workbook_options options = {.constant_memory = LXW_TRUE};
    lxw_workbook *book = workbook_new_opt(argv[3], &options);
    lxw_worksheet *sheet = workbook_add_worksheet(book, "Sales");
    lxw_format *formats[128] = {0};
    const char *codes[][2] = {{"m", "#,##0.00"}, {"q", "#,##0.000"}, {"d", "yyyy-mm-dd"}, {"i", "yyyy-mm-dd hh:mm:ss"}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        formats[(int)*codes[i][0]] = workbook_add_format(book);
        format_set_num_format(formats[(int)*codes[i][0]], codes[i][1]);
    }
    for (lxw_row_t row = 0; row < rows; row++) {
        struct cell *from = cells + row % lines * WIDTH;
        for (lxw_col_t k = 0; k < WIDTH; k++) {
            if (!from[k].text)
                continue;
            if (COLUMNS[k] == 's')
                worksheet_write_string(sheet, row + 1, k, from[k].text, NULL);
            else
                worksheet_write_number(sheet, row + 1, k, from[k].number, formats[(int)COLUMNS[k]]);
        }
    }
    lxw_error error = workbook_close(book);
    if (error) {
        fprintf(stderr, "%s\n", lxw_strerror(error));
        return 1;
    }
    printf("%.6f %lld\n", now() - start, peak());
    return 0;
}
