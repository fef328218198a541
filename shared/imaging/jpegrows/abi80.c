#define JPEG_LIB_VERSION 80
#define ROWS_ABI rows_abi80
#include "rows.inc"
