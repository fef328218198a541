/* Rows of a JPEG, by libjpeg-turbo loaded at run time. The implementation is
   compiled once for each of the two ABIs that distributions ship. */
#ifndef ROWS_H
#define ROWS_H

enum { ROWS_OK, ROWS_FAILED, ROWS_UNSUPPORTED };

/* rows_abi are the functions of one ABI. */
typedef struct {
  /* load opens the library at path and says whether it has all that is needed. */
  int (*load)(const char *path);
  /* open begins with a photo, which must stay where it is until close, and makes
     a state even when it fails; NULL: no memory. */
  void *(*open)(const unsigned char *photo, unsigned long size, int w, int h, int *status);
  /* read decodes row y, which lies below those read before, into dst of 3*w bytes. */
  int (*read)(void *state, int y, unsigned char *dst);
  /* finish decodes the rest. */
  int (*finish)(void *state);
  /* message is the fatal error if there was one, else the first warning, else "". */
  const char *(*message)(void *state);
  void (*close)(void *state);
} rows_abi;

extern const rows_abi rows_abi62, rows_abi80;

#endif
