/* encode_k.h - encoders of the formats of 256 values, one block each; private to encode.c. */
#ifndef AIRSTRIP_QUANT_ENCODE_K_H
#define AIRSTRIP_QUANT_ENCODE_K_H

void encode_q4_k(void *block, const float *x);
void encode_q5_k(void *block, const float *x);
void encode_q6_k(void *block, const float *x);

#endif
