/* What clients may do in a directory beside putting files. */
#ifndef DIRECTORY_MANAGE_H
#define DIRECTORY_MANAGE_H

#include "directory.h"

/* Adds the callbacks to those of a writer. */
void directory_manage(coracle_writer *writer);

#endif
