#define JPEG_LIB_VERSION 62
#define ROWS_ABI rows_abi62
#include "rows.inc"
