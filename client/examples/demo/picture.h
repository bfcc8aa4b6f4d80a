/* picture.h -- a test picture of 1080p RGB that moves, and its checksum. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PICTURE_WIDTH 1920
#define PICTURE_HEIGHT 1080
#define PICTURE_ROW ((size_t)PICTURE_WIDTH * 3)
#define PICTURE_SIZE (PICTURE_ROW * PICTURE_HEIGHT) /* 6,220,800 bytes */
#define PICTURE_TYPE "uint8[1080,1920,3]"

/* Draw row @y of picture number @n; every byte is written. */
void picture_draw(unsigned char *row, unsigned y, uint64_t n);

uint64_t picture_checksum(const unsigned char *picture);

/**
 * picture_checksum_slowly() - the same in steps, as a program that works on the picture from the top to the bottom
 * @picture:  what may change under us
 * @steps:    how many, a divisor of PICTURE_HEIGHT
 * @pause_ms: between them
 *
 * Return: the checksum of what was read.
 */
uint64_t picture_checksum_slowly(const unsigned char *picture, unsigned steps, unsigned pause_ms);
