/* What the vendored jpeglib.h asks of a build's configuration. JPEG_LIB_VERSION
   is the ABI, which the including file chooses. */
#define MEM_SRCDST_SUPPORTED 1
#define BITS_IN_JSAMPLE 8
