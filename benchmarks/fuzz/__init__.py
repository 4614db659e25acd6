"""Files of others that are damaged or made to harm, thousands of them, through the command line."""
