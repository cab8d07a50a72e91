/* The imports. Generated as it stands; here so that every world has one file to compile. */
#include "generated/capabilities.c"
