/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files named on the command line, or over all files of the directories named there. */

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

static int ran;

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size;

    REQUIRE(file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) >= 0 && !fseek(file, 0, SEEK_SET));
    data = malloc(size ? (size_t)size : 1); /* of the exact size, so that a sanitizer sees each byte beyond */
    REQUIRE(data && fread(data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    ran++;
}

static void run(const char *path)
{
    struct stat info;
    DIR *dir;
    struct dirent *entry;
    char name[4096];

    if (stat(path, &info)) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(info.st_mode)) {
        run_file(path);
        return;
    }
    dir = opendir(path);
    REQUIRE(dir != NULL);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
            run_file(name);
        }
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        run(argv[i]);
    }
    printf("%d inputs\n", ran);
    return ran ? 0 : 1; /* no seeds, no proof */
}
