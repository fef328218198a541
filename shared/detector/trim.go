package detector

// #include <stdlib.h>
// #ifdef __GLIBC__
// #include <malloc.h>
// static void trim(void) { malloc_trim(0); }
// #else
// static void trim(void) {}
// #endif
import "C"

// trim hands memory that C has freed back to the system. Loading a model frees
// several times the model's size in pieces, which glibc keeps otherwise.
func trim() { C.trim() }
