// The floating-point part: double precision, SSE2.

#include "speed.h"

// A product of two matrices of 128 x 128, and square-root iterations over its diagonal.
uint32_t
part_float(void)
{
  enum { N = 128 };
  double (*a)[N] = (double (*)[N])arena, (*b)[N] = a + N, (*c)[N] = b + N;
  double sum = 0;

  for(int i = 0; i < N; i++)
    for(int j = 0; j < N; j++){
      a[i][j] = (i * 3 + j) % 11 - 2.5;
      b[i][j] = (i + j * 5) % 7 + 0.25;
    }
  for(int i = 0; i < N; i++)
    for(int j = 0; j < N; j++){
      double dot = 0;
      for(int k = 0; k < N; k++)
        dot += a[i][k] * b[k][j];
      c[i][j] = dot;
    }
  for(int i = 0; i < N; i++){
    double square = c[i][i] < 0 ? -c[i][i] : c[i][i] + 1, root = square;
    for(int step = 0; step < 30; step++)
      root = (root + square / root) / 2;
    sum += root;
  }
  return (uint32_t)(sum * 1000);
}
