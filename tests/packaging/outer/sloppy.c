/* SPDX-License-Identifier: MIT */

int sloppy(a) /* an old-style definition, without a prototype */
int a;
{
    int b = a;
    {
        int a = b; /* shadows */
        return a;
    }
}
